"""The decoder of a UNet over an image encoder's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolution(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Sequential:
    """Convolution, batch norm and ReLU on a grid that stays as it is."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class UNetBlock(nn.Module):
    """Twice the grid, beside the encoder's features of that scale if it has any.

    Args:
        in_channels: of the coarser features.
        skip_channels: of the encoder's features; 0 without.
        out_channels: of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels + skip_channels, out_channels)
        self.conv2 = convolution(out_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """Map (B, C, ...) to (B, out, 2 x ...)."""
        features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
        if skip is not None:
            features = torch.cat((features, skip), dim=1)
        result: Tensor = self.conv2(self.conv1(features))
        return result


class UNetDecoder(nn.Module):
    """From the coarsest features back to the grid of the image.

    Args:
        encoder_widths: channels of the encoder's features, finest first.
        widths: channels after each block, coarsest first; one block for each scale.

    References:
        Ronneberger et al., "U-Net", MICCAI 2015; blocks and their order as in
        segmentation_models_pytorch, so that its weights fit.
    """

    def __init__(self, encoder_widths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            UNetBlock(*channels) for channels in block_channels(encoder_widths, widths)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features of the whole grid from those of every scale, finest first."""
        current = features[-1]
        for block, skip in zip(self.blocks, skips(features), strict=True):
            current = block(current, skip)
        return current


def block_channels(
    encoder_widths: Sequence[int], widths: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Channels that come in, come from the encoder and go out, block by block.

    >>> block_channels([8, 16, 32], [24, 12, 6])
    [(32, 16, 24), (24, 8, 12), (12, 0, 6)]

    Raises:
        ValueError: there is not one block for each scale.
    """
    if len(encoder_widths) != len(widths):
        raise ValueError(f"{len(encoder_widths)} scales need as many blocks, not {len(widths)}")
    coming = [encoder_widths[-1], *widths[:-1]]
    beside = [*encoder_widths[-2::-1], 0]
    return list(zip(coming, beside, widths, strict=True))


def skips(features: Sequence[Tensor]) -> list[Tensor | None]:
    """What stands beside each block; the last, on the image's own grid, has nothing."""
    return [*features[-2::-1], None]
