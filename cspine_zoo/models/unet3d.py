"""A small 3D UNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from cspine_zoo.models.blocks3d import convolution_block


class UNet3D(nn.Module):
    """Encoder and decoder with skip connections over a whole volume.

    With ``fold`` 2, every 2 x 2 x 2 voxels become 8 channels before the first convolution and
    come out of the head again as 8 voxels: nothing is lost, and the costly finest level is
    computed on an eighth of the grid.

    Args:
        in_channels: channels of the input.
        out_channels: classes.
        widths: channels at each level, finest first; each level halves the grid.
        fold: voxels along each axis that become channels.

    References:
        Cicek et al., "3D U-Net", MICCAI 2016 (here with max pooling, trilinear upsampling
        instead of transposed convolutions, and LeakyReLU); Shi et al., CVPR 2016, for the
        sub-pixel head.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: Sequence[int], fold: int = 1
    ) -> None:
        super().__init__()
        self.fold = fold
        self.encoders = nn.ModuleList()
        channels = in_channels * fold**3
        for width in widths:
            self.encoders.append(convolution_block(channels, width, repeats=2))
            channels = width
        self.decoders = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.decoders.append(convolution_block(channels + width, width, repeats=2))
            channels = width
        self.pool = nn.MaxPool3d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)
        self.head = nn.Conv3d(channels, out_channels * fold**3, kernel_size=1)

    @property
    def divisors(self) -> tuple[int, int, int]:
        """Sizes along I, J and K must be multiples of these."""
        divisor = int(self.fold * 2 ** (len(self.encoders) - 1))
        return divisor, divisor, divisor

    @property
    def largest_block(self) -> int:
        """Voxels at once: about 1 GB of features at 16 channels in float32.

        Naming the levels wants the whole neck in view: a block is as large as memory allows.
        """
        return 2_000_000

    def forward(self, volume: Tensor) -> Tensor:
        """Map (N, C, I, J, K) to logits (N, classes, I, J, K)."""
        skips: list[Tensor] = []
        features = fold_voxels(volume, self.fold)
        for depth, encoder in enumerate(self.encoders):
            features = encoder(features if depth == 0 else self.pool(features))
            skips.append(features)
        skips.pop()
        for decoder in self.decoders:
            features = decoder(torch.cat((self.upsample(features), skips.pop()), dim=1))
        return unfold_voxels(cast(Tensor, self.head(features)), self.fold)


def fold_voxels(volume: Tensor, factor: int) -> Tensor:
    """Map (N, C, I, J, K) to (N, C f^3, I / f, J / f, K / f) without loss."""
    if factor == 1:
        return volume
    n, c, i, j, k = volume.shape
    f = factor
    cells = volume.reshape(n, c, i // f, f, j // f, f, k // f, f)
    return cells.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * f**3, i // f, j // f, k // f)


def unfold_voxels(folded: Tensor, factor: int) -> Tensor:
    """Undo ``fold_voxels``."""
    if factor == 1:
        return folded
    n, c, i, j, k = folded.shape
    f = factor
    cells = folded.reshape(n, c // f**3, f, f, f, i, j, k)
    return cells.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // f**3, i * f, j * f, k * f)
