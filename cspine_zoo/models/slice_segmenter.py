"""2.5D segmentation: a 2D network that sees a slice between its neighbours."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from cspine_zoo.models.encoder_decoder import EncoderDecoder, Plan
from cspine_zoo.models.image_axes import to_images, to_volume

_SLICES_AT_ONCE: Final = 8
"""A few hundred MB of features at 320 x 320 px; more are no faster on a CPU."""


class SliceSegmenter(nn.Module):
    """Goes through a volume slice by slice, each between the one above and the one below.

    Beyond the ends of the volume the last slice stands again.

    Args:
        plan: arguments of ``Plan``.
    """

    def __init__(self, **plan: Any) -> None:
        super().__init__()
        self.network = EncoderDecoder(Plan(**plan), in_channels=3)

    @property
    def divisors(self) -> tuple[int, int, int]:
        """Sizes along I, J and K must be multiples of these."""
        return self.network.divisor, self.network.divisor, 1

    @property
    def largest_block(self) -> int:
        """Voxels at once: slices go in portions, so that these are logits alone (2 GB)."""
        return 64_000_000

    def forward(self, volume: Tensor) -> Tensor:
        """Map (N, 1, I, J, K) to logits (N, classes, I, J, K)."""
        images = to_images(volume)[:, 0]
        above = torch.cat((images[..., :1], images[..., :-1]), dim=-1)
        below = torch.cat((images[..., 1:], images[..., -1:]), dim=-1)
        # (N, 3, H, W, K) -> (N x K, 3, H, W)
        stacks = torch.stack((above, images, below), dim=1).movedim(-1, 1).flatten(0, 1)
        # Batch norm in training is to see all slices; afterwards they do not know of each other.
        portion = len(stacks) if self.training else _SLICES_AT_ONCE
        logits = torch.cat(
            [
                self.network(part.contiguous(memory_format=torch.channels_last))
                for part in stacks.split(portion)
            ]
        )
        return to_volume(logits.unflatten(0, (len(volume), -1)).movedim(1, -1))
