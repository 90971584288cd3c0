"""Canals of vessels in bone: the basivertebral vein, nutrient canals, and what crosses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import capsule
from cspine_zoo.synthetic.morphometry import VertebraSize

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Canal:
    """A vessel's way through bone: a tube with a softer content and perhaps a dense rim."""

    start: Point
    end: Point
    radius_mm: float
    hu: float
    rim_hu: float

    def paint(
        self,
        bone: Tensor,
        local: Tensor,
        distance: Tensor,
        spacing_mm: tuple[float, float, float],
    ) -> Tensor:
        """HU (n,) with the canal in it, at points (3, n)."""
        voxel_mm = float(np.prod(spacing_mm)) ** (1 / 3)
        outside = capsule(local, self.start, self.end, self.radius_mm)
        # A tube thinner than a voxel fills the square of its width.
        width = max(2 * self.radius_mm, 1e-3)
        share = (0.5 - outside / max(voxel_mm, width)).clamp(0, 1) * min(1.0, width / voxel_mm)
        rim = torch.exp(-((outside - 0.7) / 0.6).square())
        return torch.lerp(bone + self.rim_hu * rim, torch.full_like(bone, self.hu), share)


def draw_canals(
    rng: np.random.Generator, level: str, size: VertebraSize, vessels: float
) -> tuple[Canal, ...]:
    """The basivertebral vein of a body, and nutrient canals from the surface inwards."""
    canals = []
    content = float(rng.uniform(-60, 110))
    if level != "C1" and rng.random() < 0.8:
        canals += _basivertebral(rng, size, content)
    for _ in range(int(rng.poisson(vessels))):
        start = _on_surface(rng, size)
        inwards = rng.normal(0, 1.0, 3) - 0.6 * np.sign(start) * rng.uniform(0, 1, 3)
        reach = inwards / np.linalg.norm(inwards) * rng.uniform(2.0, 8.0)
        radius = float(np.exp(rng.uniform(np.log(0.25), np.log(0.9))))
        rim = float(rng.uniform(0, 350)) * (rng.random() < 0.5)
        canals.append(Canal(as_point(start), as_point(start + reach), radius, content, rim))
    return tuple(canals)


def _basivertebral(rng: np.random.Generator, size: VertebraSize, content: float) -> list[Canal]:
    """From the middle of the body's back wall forward, forked as a Y where it is large."""
    back = np.array([0.0, -size.half_depth - 0.5, 0.0]) + rng.normal(0, [0.8, 0.0, 0.8])
    fork = back + np.array([0.0, rng.uniform(3.0, 0.9 * size.half_depth), 0.0])
    radius, rim = rng.uniform(0.4, 1.5), float(rng.uniform(0, 300))
    canals = [Canal(as_point(back), as_point(fork), radius, content, rim)]
    for side in (-1.0, 1.0):
        if rng.random() < 0.6:
            aside = np.array([side * rng.uniform(2, 6), rng.uniform(0, 5), rng.normal(0, 1.0)])
            end = as_point(fork + aside)
            canals.append(Canal(as_point(fork), end, radius * 0.6, content, 0.5 * rim))
    return canals


def _on_surface(rng: np.random.Generator, size: VertebraSize) -> np.ndarray:
    """A place near the surface of the body, a pillar or a lamina."""
    arch = -size.half_depth - size.canal_depth
    places = (
        (rng.uniform(-1, 1) * size.half_width, size.half_depth, rng.uniform(-0.5, 0.5)),
        (np.sign(rng.normal()) * size.half_width, rng.uniform(-5, 5), rng.uniform(-3, 3)),
        (np.sign(rng.normal()) * size.pillar_x, -size.half_depth - 8, rng.uniform(-6, 6)),
        (rng.uniform(-0.6, 0.6) * size.pillar_x, arch + rng.uniform(-2, 6), rng.uniform(-6, 2)),
    )
    return np.array(places[int(rng.integers(len(places)))]) + rng.normal(0, 1.0, 3)


def as_point(values: Sequence[float] | np.ndarray) -> Point:
    """Three plain numbers."""
    return float(values[0]), float(values[1]), float(values[2])
