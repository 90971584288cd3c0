"""Where a vertebra is broken: a 2D network over the slices of its crop."""

from __future__ import annotations

from typing import Any, Final, cast

from torch import Tensor, nn

from cspine_zoo.models.encoder_decoder import EncoderDecoder, Plan

_RARE: Final = -3.0
"""Logit at the beginning: one pixel in twenty. From even odds, a narrow network learns first what
is no fracture, by features that all speak against one, and nothing can be hotter than even."""


class CropLocalizer(nn.Module):
    """Segments the fractured region on every slice of a crop, each for itself.

    Args:
        in_channels: channels of a slice image; neighbouring slices may be among them.
        plan: arguments of ``Plan`` but ``out_channels``, which is one.

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, for the bias.
    """

    def __init__(self, *, in_channels: int, **plan: Any) -> None:
        super().__init__()
        self.network = EncoderDecoder(Plan(out_channels=1, **plan), in_channels)
        nn.init.constant_(cast(Tensor, self.network.head.bias), _RARE)

    def forward(self, slices: Tensor) -> Tensor:
        """Map crops (N, S, C, H, W) to logits of fracture (N, S, H, W)."""
        logits: Tensor = self.network(slices.flatten(0, 1))
        return cast(Tensor, logits[:, 0].unflatten(0, slices.shape[:2]))
