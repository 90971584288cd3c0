"""Augmentation of slice crops: what a scan of the same fracture could also have looked like."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional


def augmented(images: Tensor, generator: Generator, mask_channel: int) -> Tensor:
    """Randomly rotate, scale, shift, mirror, brighten and blur each image; fresh noise on top.

    A mirrored fracture is a fracture, and no output tells sides apart; nothing is flipped along
    the spine.

    Args:
        images: (B, C, H, W), intensities -1..1 and one mask channel 0..1.
        generator: of the random numbers.
        mask_channel: index of the mask, which moves along but keeps its values.
    """
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    angle, scale = uniform(-0.3, 0.3), torch.exp(uniform(-0.15, 0.15))
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [
        torch.stack((cos * mirror, -sin, uniform(-0.1, 0.1)), 1),
        torch.stack((sin * mirror, cos, uniform(-0.1, 0.1)), 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    shape = (count, 1, 1, 1)
    gain, offset = uniform(0.8, 1.2).reshape(shape), uniform(-0.12, 0.12).reshape(shape)
    noise = uniform(0.0, 0.08).reshape(shape) * torch.randn(moved.shape, generator=generator)
    bright = (moved * gain + offset + noise).clamp(-1, 1)
    bright[:, mask_channel] = moved[:, mask_channel]
    return bright


def positive_weight(odds: float) -> Tensor:
    """Weight of positives that balances a share ``odds`` of them."""
    return torch.tensor(math.sqrt((1 - odds) / max(odds, 1e-6)))
