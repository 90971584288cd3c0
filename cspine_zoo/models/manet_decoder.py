"""The decoder of MAnet: attention between positions, and features of two scales weighed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.models.unet_decoder import UNetBlock, block_channels, convolution, skips

_KEY_CHANNELS: Final = 64
_REDUCTION: Final = 16


class PositionAttention(nn.Module):
    """Every position of the coarsest grid looks at every other.

    The softmax runs over all pairs at once, and the product is read back as if its channels came
    first: so the widely used implementation (segmentation_models_pytorch) computes, and weights
    that were trained with it give their answers only so. With it, little of the attention is left
    on a large grid.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.top_conv = nn.Conv2d(channels, _KEY_CHANNELS, kernel_size=1)
        self.center_conv = nn.Conv2d(channels, _KEY_CHANNELS, kernel_size=1)
        self.bottom_conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.out_conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, ...) to the same shape."""
        keys = self.top_conv(features).flatten(2)
        queries = self.center_conv(features).flatten(2).transpose(1, 2)
        values = self.bottom_conv(features).flatten(2).transpose(1, 2)
        pairs = queries @ keys
        weights = pairs.flatten(1).softmax(dim=1).view_as(pairs)
        attended = (weights @ values).reshape(features.shape)
        result: Tensor = self.out_conv(features + attended)
        return result


class FusionBlock(nn.Module):
    """Twice the grid; one weight a channel, from both scales, for the coarser features.

    Args:
        in_channels: of the coarser features.
        skip_channels: of the encoder's features, at least 1.
        out_channels: of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.hl_conv = nn.Sequential(
            convolution(in_channels, in_channels),
            convolution(in_channels, skip_channels, kernel_size=1),
        )
        self.SE_ll = _channel_weights(skip_channels)
        self.SE_hl = _channel_weights(skip_channels)
        self.conv1 = convolution(2 * skip_channels, out_channels)
        self.conv2 = convolution(out_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map (B, C, ...) to (B, out, 2 x ...)."""
        features = functional.interpolate(self.hl_conv(features), scale_factor=2.0, mode="nearest")
        features = features * (self.SE_hl(features) + self.SE_ll(skip))
        result: Tensor = self.conv2(self.conv1(torch.cat((features, skip), dim=1)))
        return result


class MAnetDecoder(nn.Module):
    """From the coarsest features back to the grid of the image.

    Args:
        encoder_widths: channels of the encoder's features, finest first.
        widths: channels after each block, coarsest first; one block for each scale.

    References:
        Fan et al., "MA-Net: a multi-scale attention network for liver and tumor segmentation",
        IEEE Access 2020; names and arithmetic as in segmentation_models_pytorch, so that its
        weights fit (64 key channels, reduction 16).
    """

    def __init__(self, encoder_widths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.center = PositionAttention(encoder_widths[-1])
        self.blocks = nn.ModuleList(
            FusionBlock(coming, beside, out) if beside else UNetBlock(coming, beside, out)
            for coming, beside, out in block_channels(encoder_widths, widths)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features of the whole grid from those of every scale, finest first."""
        current: Tensor = self.center(features[-1])
        for block, skip in zip(self.blocks, skips(features), strict=True):
            current = block(current, skip)
        return current


class _MeanOfLastAxes(nn.Module):
    """Mean over H and W of images; of volumes over W and D, for every row along H by itself.

    The published 3D conversion left this pooling as it was in two dimensions, and its weights
    were trained so.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, ..., W, D) to (B, C, ..., 1, 1)."""
        return features.mean(dim=(-2, -1), keepdim=True)


def _channel_weights(channels: int) -> nn.Sequential:
    """Squeeze and excitation (Hu et al., CVPR 2018): 0 to 1 for each channel."""
    reduced = max(1, channels // _REDUCTION)
    return nn.Sequential(
        _MeanOfLastAxes(),
        nn.Conv2d(channels, reduced, kernel_size=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(reduced, channels, kernel_size=1),
        nn.Sigmoid(),
    )
