"""What looks like a fracture and is none: smooth, mostly with a dense rim, in both twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import ellipsoid, length
from cspine_zoo.synthetic.morphometry import SIZES, VertebraSize
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.vertebra import VertebraShape
from cspine_zoo.synthetic.vessels import Canal, Point, as_point

Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Cleft:
    """A smooth sheet without bone: growth plate, synchondrosis, limbus, unfused arch.

    Attributes:
        centre, normal: (3,) of the sheet in the vertebra's frame.
        reach_mm: how far it goes.
        width_mm: of the sheet; 0 where only its sclerotic scar is left.
        hu: of what fills it.
        rim_hu, rim_mm: density and thickness of the compact bone on both sides.
        bend: how it leaves its plane, smoothly.
    """

    centre: np.ndarray
    normal: np.ndarray
    reach_mm: float
    width_mm: float
    hu: float
    rim_hu: float
    rim_mm: float
    bend: Waves

    def paint(self, bone: Tensor, local: Tensor, distance: Tensor, spacing_mm: Spacing) -> Tensor:
        """Bone HU (n,) at points (3, n) with the cleft in it."""
        voxel_mm = float(np.prod(spacing_mm)) ** (1 / 3)
        away = local - torch.tensor(self.centre, dtype=torch.float32, device=local.device)[:, None]
        normal = torch.tensor(self.normal, dtype=torch.float32, device=local.device)
        height = (normal @ away + self.bend.at(local)[0]).abs()
        reach = ((self.reach_mm - length(away)) / 2.0).clamp(0, 1)
        beyond = (height - 0.5 * self.width_mm).clamp_min(0)
        rim = reach * torch.sigmoid((self.rim_mm - beyond) / (0.2 + 0.25 * voxel_mm))
        bone = torch.lerp(bone, torch.maximum(bone, torch.full_like(bone, self.rim_hu)), rim)
        overlap = 0.5 * (self.width_mm + voxel_mm) - height
        share = overlap.clamp(0, min(self.width_mm, voxel_mm)) / voxel_mm
        return torch.lerp(bone, torch.full_like(bone, self.hu), share * reach)


@dataclass(frozen=True, eq=False)
class Node:
    """A disc's dent in an end plate (Schmorl), or a cyst: a smooth hole with a dense rim."""

    centre: Point
    radii: Point
    hu: float
    rim_hu: float

    def paint(self, bone: Tensor, local: Tensor, distance: Tensor, spacing_mm: Spacing) -> Tensor:
        """Bone HU (n,) at points (3, n) with the hole in it."""
        voxel_mm = float(np.prod(spacing_mm)) ** (1 / 3)
        outside = ellipsoid(local, self.centre, self.radii)
        rim = torch.sigmoid((1.0 - outside) / 0.5)
        bone = torch.lerp(bone, torch.maximum(bone, torch.full_like(bone, self.rim_hu)), rim)
        return torch.lerp(
            bone, torch.full_like(bone, self.hu), (0.5 - outside / voxel_mm).clamp(0, 1)
        )


@dataclass(frozen=True, eq=False)
class Ossicle:
    """A small rounded bone of its own beside a process, with a cortex all around."""

    centre: Point
    radii: Point
    hu: float
    cortex_hu: float

    def bone(self, local: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance (n,) and HU (n,) at frame points (3, n)."""
        distance = ellipsoid(local, self.centre, self.radii)
        shell = torch.sigmoid((distance + 0.9) / 0.3)
        return distance, self.hu + (self.cortex_hu - self.hu) * shell


@dataclass(frozen=True)
class _Seam:
    """Where a level can have a seam: centre and direction across it, reach, odds, both sides."""

    centre: Point
    normal: Point
    reach_mm: float
    odds: float
    paired: bool = False


def draw_lookalikes(seed: int, level: str) -> tuple[Canal | Cleft | Node, ...]:
    """What looks like a fracture within the vertebra ``level`` of a patient; often nothing."""
    rng, size = stream(seed, "hard-negatives", level), SIZES[level]
    found: list[Canal | Cleft | Node] = []
    for seam in _seams(level, size):
        if rng.random() < seam.odds:
            sides = (-1.0, 1.0) if seam.paired else (1.0,)
            found += [_cleft(rng, seam, side) for side in sides if rng.random() < 0.8]
    found += [_channel(rng, size) for _ in range(int(rng.poisson(1.0)))]
    if level != "C1":
        found += [_node(rng, size) for _ in range(int(rng.poisson(0.35)))]
    return tuple(found)


def draw_ossicles(seed: int, level: str, shape: VertebraShape) -> tuple[Ossicle, ...]:
    """Small bones beside the tip of the spinous process, a corner of the body or an arch."""
    rng, size = stream(seed, "ossicles", level), SIZES[level]
    if rng.random() > 0.2:
        return ()
    tip = -size.half_depth - size.canal_depth - size.spinous
    places = {
        "C1": ((0.0, 3.0, -7.0), (0.0, 5.0, 9.0), (size.transverse_x, -14.0, 5.0)),
        "C2": ((0.0, 4.0, 31.0), (0.0, size.half_depth + 2, -size.half_height - 1)),
    }.get(
        level,
        (
            (0.0, tip - 2.0, -6.0 - 0.2 * size.spinous),
            (0.0, size.half_depth + 1.5, -size.half_height),
            (0.0, size.half_depth + 1.5, size.half_height),
            (size.pillar_x + 5.0, -size.half_depth - 9.0, 8.0),
        ),
    )
    centre = np.array(places[int(rng.integers(len(places)))]) + rng.normal(0, 1.0, 3)
    outward = torch.tensor(centre, dtype=torch.float32)[:, None]
    centre = centre * (1 + 0.06 * float(shape.distance(outward) < 1.0))
    radii = as_point(rng.uniform(1.0, 3.2, 3))
    hu = float(rng.uniform(150, 600))
    return (Ossicle(as_point(centre), radii, hu, float(rng.uniform(600, 1200))),)


def _seams(level: str, size: VertebraSize) -> Sequence[_Seam]:
    """Ossification centres meet here; what remains of a seam is seen in adults too."""
    arch = -size.half_depth - size.canal_depth
    if level == "C1":
        return (
            _Seam((0.0, -size.canal_depth - 11.0, 1.0), (1.0, 0.0, 0.0), 9.0, 0.18),
            _Seam((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 9.0, 0.07),
            _Seam((17.0, -20.0, 1.0), (0.6, 0.8, 0.0), 7.0, 0.08, paired=True),
        )
    neurocentral = _Seam(
        (size.half_width - 1.0, -size.half_depth + 1.0, 0.0), (0.8, -0.6, 0.0), 9.0, 0.15, True
    )
    midline = _Seam((0.0, arch - 1.0, -4.0), (1.0, 0.0, 0.0), 9.0, 0.08)
    if level == "C2":
        dens = _Seam((0.0, 0.5, size.half_height - 1.5), (0.0, 0.1, 1.0), 9.0, 0.5)
        tip = _Seam((0.0, 2.0, 22.0), (0.0, 0.0, 1.0), 7.0, 0.1)
        return (dens, tip, neurocentral, midline)
    corners = [
        _Seam(
            (0.0, size.half_depth - 2.5, side * (size.half_height - 2.0)),
            (0.0, 0.7, side * 0.7),
            8.0,
            0.07,
        )
        for side in (-1.0, 1.0)
    ]
    rings = [
        _Seam((0.0, 0.0, side * (size.half_height - 1.6)), (0.0, 0.05, 1.0), 14.0, 0.1)
        for side in (-1.0, 1.0)
    ]
    pillar = _Seam((size.pillar_x, -size.half_depth - 8.0, 0.0), (0.0, 0.6, 0.8), 8.0, 0.06, True)
    return (neurocentral, midline, pillar, *corners, *rings)


_SCAR_ODDS: Final = 0.45
"""Share of seams that have closed and show as a dense line only."""


def _cleft(rng: np.random.Generator, seam: _Seam, side: float) -> Cleft:
    mirror = np.array([side, 1.0, 1.0])
    normal = np.array(seam.normal) * mirror + rng.normal(0, 0.15, 3)
    closed = rng.random() < _SCAR_ODDS
    return Cleft(
        centre=np.array(seam.centre) * mirror + rng.normal(0, 0.8, 3),
        normal=normal / np.linalg.norm(normal),
        reach_mm=seam.reach_mm * rng.uniform(0.5, 1.1),
        width_mm=0.0 if closed else float(np.exp(rng.uniform(np.log(0.3), np.log(2.0)))),
        hu=float(rng.uniform(10, 160)),
        rim_hu=float(rng.uniform(550, 1250)),
        rim_mm=float(rng.uniform(0.3, 1.4)),
        bend=Waves.draw(rng, 1, rng.uniform(0.0, 0.7), (12.0, 30.0), count=3),
    )


def _channel(rng: np.random.Generator, size: VertebraSize) -> Canal:
    """A long straight or oblique vessel's channel that crosses body, pedicle, lamina or pillar."""
    side = float(rng.choice([-1.0, 1.0]))
    back = -size.half_depth - 7.0
    places = (
        ((0.0, 0.0, 0.0), (1.0, 0.5, 0.25), 10.0),
        ((side * size.half_width, back + 4, 0.5), (0.5, 1.0, 0.3), 6.0),
        ((side * 0.5 * size.pillar_x, 0.5 * (back - size.canal_depth), -3.0), (1.0, 0.6, 0.8), 6.0),
        ((side * size.pillar_x, back, 0.0), (0.7, 0.7, 1.0), 6.0),
    )
    centre, spread, reach = places[int(rng.integers(len(places)))]
    along = rng.normal(0, 1, 3) * spread
    half = along / np.linalg.norm(along) * rng.uniform(0.4, 1.0) * reach
    middle = np.array(centre) + rng.normal(0, 1.5, 3)
    rim = float(rng.uniform(50, 450)) * (rng.random() < 0.75)
    radius = float(np.exp(rng.uniform(np.log(0.25), np.log(1.0))))
    content = float(rng.uniform(-60, 120))
    return Canal(as_point(middle - half), as_point(middle + half), radius, content, rim)


def _node(rng: np.random.Generator, size: VertebraSize) -> Node:
    top = float(rng.choice([-1.0, 1.0]))
    centre = rng.uniform(-0.6, 0.6, 3) * [size.half_width, size.half_depth, 0.0]
    centre[2] = top * (size.half_height + rng.uniform(-2.5, 0.5))
    radii = as_point(rng.uniform(1.0, 3.8, 3))
    return Node(as_point(centre), radii, float(rng.uniform(20, 140)), float(rng.uniform(450, 1100)))
