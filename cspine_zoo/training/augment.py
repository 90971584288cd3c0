"""Augmentation of slice crops: what a scan of the same fracture could also have looked like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Generator, Tensor
from torch.nn import functional

_CLUTTER_PX: Final = (3, 8)
"""Coarseness of the added bone texture: about 2 and 6 mm on the crops."""


def augmented(
    images: Tensor, maps: Tensor, generator: Generator, mask_channel: int
) -> tuple[Tensor, Tensor]:
    """Each image in a random pose and with random values, and its fracture map in the same pose.

    Args:
        images: (B, C, H, W), intensities -1..1 and one mask channel 0..1.
        maps: (B, 1, M, M) over the same field.
        generator: of the random numbers.
        mask_channel: index of the mask, which moves along but keeps its values.
    """
    poses = random_poses(len(images), generator)
    return revalued(posed(images, poses), generator, mask_channel), posed(maps, poses)


def random_poses(count: int, generator: Generator) -> Tensor:
    """Rotations to 17 deg, scales to 15 %, shifts to 10 % and mirrorings, (count, 2, 3).

    A mirrored fracture is a fracture, and no output tells sides apart; nothing is flipped along
    the spine.
    """
    angle = _uniform(count, -0.3, 0.3, generator)
    scale = torch.exp(_uniform(count, -0.15, 0.15, generator))
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift = [_uniform(count, -0.1, 0.1, generator) for _ in range(2)]
    rows = [
        torch.stack((cos * mirror, -sin, shift[0]), 1),
        torch.stack((sin * mirror, cos, shift[1]), 1),
    ]
    return torch.stack(rows, 1)


def posed(images: Tensor, poses: Tensor) -> Tensor:
    """Images (B, C, H, W) seen in poses (B, 2, 3)."""
    grid = functional.affine_grid(poses, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def revalued(images: Tensor, generator: Generator, mask_channel: int | None) -> Tensor:
    """Random blur, gain, offset and noise, and uneven bone: real bone is never as even as drawn.

    The texture is shared by the neighbouring slices, and added in the mask alone; without a mask
    there is none.
    """
    count = len(images)

    def each(low: float, high: float) -> Tensor:
        return _uniform(count, low, high, generator).reshape(count, 1, 1, 1)

    shown = [channel for channel in range(images.shape[1]) if channel != mask_channel]
    values = images[:, shown]
    values.lerp_(_blurred(values), each(-0.5, 1.0).clamp(min=0))
    if mask_channel is not None:
        mask = images[:, mask_channel : mask_channel + 1]
        values.addcmul_(_texture(values.shape, each, generator), mask)
    values.addcmul_(torch.randn(values.shape, generator=generator), each(0.0, 0.08))
    values.mul_(each(0.8, 1.2)).add_(each(-0.12, 0.12)).clamp_(-1, 1)
    revalued = images.clone()
    revalued[:, shown] = values
    return revalued


def _texture(
    shape: torch.Size, each: Callable[[float, float], Tensor], generator: Generator
) -> Tensor:
    """Of (B, C, H, W), the coarse laid on the cells of the fine, where that costs little."""
    count, channels, *size = shape
    layers = []
    for coarseness in _CLUTTER_PX:
        cells = [max(2, length // coarseness) for length in size]
        shared = torch.randn(count, 1, *cells, generator=generator)
        own = torch.randn(count, channels, *cells, generator=generator)
        layers.append(each(-0.05, 0.15).clamp(min=0) * (0.8 * shared + 0.6 * own))
    fine, coarse = layers
    return _enlarged(fine + _enlarged(coarse, fine.shape[2:]), size)


def _enlarged(images: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(images, size=list(size), mode="bilinear", align_corners=False)


def _blurred(images: Tensor) -> Tensor:
    """Mean of the 3 x 3 pixels around each, as far as there are; torch's pooling takes thrice."""
    total = images
    for axis in (2, 3):
        length = images.shape[axis]
        wide = total.clone()
        wide.narrow(axis, 1, length - 1).add_(total.narrow(axis, 0, length - 1))
        wide.narrow(axis, 0, length - 1).add_(total.narrow(axis, 1, length - 1))
        there = torch.full((length,), 3.0)
        there[[0, -1]] = 2.0
        total = wide.div_(there.reshape([-1 if n == axis else 1 for n in range(4)]))
    return total


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
