"""Vertebrae as solids in their own frame: origin at the body's centre, x right, y anterior, z up.

C1 has no body: its origin is the middle of the anterior arch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import (
    capsule,
    chain,
    ellipsoid,
    elliptic_column,
    mirrored,
    smooth_union,
)
from cspine_zoo.synthetic.morphometry import VertebraSize

REACH_MM: Final = ((-48.0, 48.0), (-62.0, 18.0), (-28.0, 36.0))
"""Box around every vertebra in its own frame, before scaling."""


class VertebraShape(Protocol):
    """Anything that knows where a vertebra is solid."""

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        ...

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Place of a part, on the right where it is paired; names as in ``LANDMARKS``."""
        ...


LANDMARKS: Final = (
    "body",
    "corner",
    "plate",
    "dens",
    "pedicle",
    "lamina",
    "pillar",
    "spinous",
    "transverse",
)
"""Parts at which fractures are placed; C1 takes body for its anterior and lamina for its
posterior arch, only C2 has a dens."""


@dataclass(frozen=True)
class Variation:
    """How one vertebra differs from the average of its level; 1 is average."""

    tilt: float = 1.0
    lip: float = 1.0
    thickness: float = 1.0
    bifid: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Variation:
        """A random individual."""
        return cls(
            tilt=rng.uniform(0.5, 1.4),
            lip=rng.uniform(0.2, 1.8),
            thickness=rng.uniform(0.8, 1.3),
            bifid=rng.uniform(0.2, 1.5),
        )


@dataclass(frozen=True)
class Atlas:
    """C1: two arches, two lateral masses, no body."""

    size: VertebraSize
    variation: Variation

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        p, s, thick = mirrored(points), self.size, self.variation.thickness
        back = -s.canal_depth - 12.0
        squat = torch.stack((p[0], p[1], p[2] * 0.62))
        anterior = chain(squat, [(0, 0, 0), (9, -3, 0), (16, -9, 0)], 3.0 * thick)
        posterior = chain(
            torch.stack((p[0], p[1], p[2] * 0.75)),
            [(s.pillar_x, -19, 1), (17, -30, 1), (9, back + 3, 1), (0, back, 1)],
            3.0 * thick,
        )
        mass = ellipsoid(points=p, centre=(s.pillar_x, -12, 0.5), radii=(8.2, 10.5, 11.5))
        front_bar = capsule(p, (s.pillar_x + 5, -8, 0), (s.transverse_x, -14, -2), 3.0 * thick, 3.4)
        back_bar = capsule(p, (s.pillar_x + 5, -19, 0), (s.transverse_x, -16, -2), 3.0 * thick, 3.4)
        tubercle = ellipsoid(p, (0, back - 1, 1), (3.0, 3.6, 4.0))
        return smooth_union([mass, anterior, posterior, front_bar, back_bar, tubercle], 2.5)

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Place of a part, on the right where it is paired."""
        s = self.size
        return {
            "body": (9.0, -3.0, 0.0),
            "lamina": (15.0, -s.canal_depth - 3.0, 1.0),
            "pillar": (s.pillar_x, -12.0, 0.0),
            "transverse": (s.pillar_x + 12.0, -12.0, -1.0),
        }.get(name, (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Axis:
    """C2: a body that carries the dens, broad upper facets, a large spinous process."""

    size: VertebraSize
    variation: Variation

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        p, s, thick = mirrored(points), self.size, self.variation.thickness
        arch = -s.half_depth - s.canal_depth
        body = elliptic_column(p, (0, 0, 0), (s.half_width, s.half_depth, s.half_height))
        dens = capsule(points, (0, 0.5, 7), (0, 1.5 + 1.5 * self.variation.tilt, 25), 5.2, 4.4)
        facet = ellipsoid(p, (14.5, -1.5, 7.0), (8.4, 8.6, 4.6))
        pars = capsule(p, (13, -5, 4), (s.pillar_x, -13, -6), 4.6 * thick)
        pillar = capsule(p, (s.pillar_x, -13, -4), (s.pillar_x + 1, -15, -11), 5.0)
        flat = torch.stack((p[0], p[1], p[2] * 0.6))
        lamina = capsule(flat, (s.pillar_x - 3, -17, -3), (1, arch - 3, -4), 3.0 * thick)
        tip = arch - s.spinous
        ridge = capsule(p, (0, arch - 2, -6), (0, tip + 5, -9), 4.0)
        fork = capsule(p, (0, tip + 7, -9), (5 * self.variation.bifid, tip, -11), 3.0)
        transverse = capsule(p, (13, -4, 1), (s.transverse_x, -8, -3), 3.4, 2.6)
        return smooth_union([body, dens, facet, pars, pillar, lamina, ridge, fork, transverse], 3.0)

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Place of a part, on the right where it is paired."""
        s, arch = self.size, -self.size.half_depth - self.size.canal_depth
        return {
            "body": (0.0, 2.0, -1.0),
            "corner": (0.0, s.half_depth - 3.0, 3.0 - s.half_height),
            "dens": (0.0, 1.0, 10.5),
            "pedicle": (14.5, -8.0, 0.5),
            "pillar": (s.pillar_x, -13.5, -6.0),
            "lamina": (9.0, arch + 3.0, -6.0),
            "spinous": (0.0, arch - 7.0, -8.0),
            "transverse": (s.pillar_x + 3.0, -6.5, -1.5),
        }[name]


@dataclass(frozen=True)
class Subaxial:
    """C3-C7: body with uncinate lips, pillars with slanting facets, foramina, bifid process."""

    size: VertebraSize
    variation: Variation

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        p, s, v = mirrored(points), self.size, self.variation
        arch = -s.half_depth - s.canal_depth
        lift = 2.2 * v.lip * (p[0] / s.half_width).clamp_max(1.3) ** 3
        drop = 0.8 * v.lip * (p[1] / s.half_depth).clamp(-1, 1)
        body = elliptic_column(
            torch.stack((p[0], p[1], p[2] - lift + drop)),
            (0, 0, 0),
            (s.half_width, s.half_depth, s.half_height),
        )
        y = -s.half_depth - 5.0
        pedicle = capsule(
            p, (s.half_width - 2, 3 - s.half_depth, 1), (s.pillar_x - 3, y - 1, 0.5), 3.1
        )
        slant = 3.0 * v.tilt
        pillar = smooth_union(
            [
                ellipsoid(p, (s.pillar_x, y - 1 + slant, 5.5), (6.0, 5.0, 5.0)),
                ellipsoid(p, (s.pillar_x, y - 5 - slant, -5.5), (6.0, 5.0, 5.5)),
                ellipsoid(p, (s.pillar_x, y - 3, 0), (5.6, 5.6, 6.0)),
            ],
            3.0,
        )
        flat = torch.stack((p[0], p[1], p[2] * 0.45))
        lamina = capsule(flat, (s.pillar_x - 3, y - 7, -1), (0, arch - 2, -2), 2.7 * v.thickness)
        processes = [self._spinous(p, arch), self._transverse(p)]
        return smooth_union([body, pedicle, pillar, lamina, *processes], 2.2)

    def _spinous(self, p: Tensor, arch: float) -> Tensor:
        s, v = self.size, self.variation
        tip = arch - s.spinous
        sink = -5.0 - 0.2 * s.spinous
        narrow = torch.stack((p[0], p[1], p[2] * 0.6))
        ridge = capsule(narrow, (0, arch, -3), (0, tip + 3, sink * 0.6), 3.0 * v.thickness, 2.6)
        fork = capsule(p, (0, tip + 5, sink), (4.0 * v.bifid, tip, sink - 1), 2.4)
        return smooth_union([ridge, fork], 2.0)

    def _transverse(self, p: Tensor) -> Tensor:
        s, thick = self.size, self.variation.thickness
        y = -s.half_depth - 4.0
        front = capsule(
            p,
            (s.half_width - 1, 1.5 - s.half_depth * 0.4, 0),
            (s.transverse_x - 1, -5, -2),
            2.2 * thick,
        )
        back = capsule(p, (s.pillar_x - 1, y - 0.5, 0), (s.transverse_x, y + 0.5, -2), 2.6 * thick)
        bridge = capsule(p, (s.transverse_x - 1, -5, -2), (s.transverse_x, y + 0.5, -2.5), 1.9)
        return smooth_union([front, back, bridge], 1.5)

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Place of a part, on the right where it is paired."""
        s = self.size
        arch, y = -s.half_depth - s.canal_depth, -s.half_depth - 5.0
        return {
            "body": (0.0, 1.0, 0.0),
            "corner": (0.0, s.half_depth - 3.0, 2.5 - s.half_height),
            "plate": (0.0, s.half_depth - 4.0, s.half_height - 3.0),
            "pedicle": (0.5 * (s.half_width + s.pillar_x) - 1.0, y + 2.0, 0.8),
            "pillar": (s.pillar_x, y - 3.0, 0.0),
            "lamina": (0.5 * s.pillar_x, 0.5 * (y + arch) - 4.0, -3.0),
            "spinous": (0.0, arch - 0.45 * s.spinous, -5.0 - 0.1 * s.spinous),
            "transverse": (s.transverse_x - 4.0, y + 0.5, -1.5),
        }.get(name, (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Thoracic:
    """T1-T5: no foramina; transverse processes run up and back, the spinous process down."""

    size: VertebraSize
    variation: Variation

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        p, s, thick = mirrored(points), self.size, self.variation.thickness
        arch = -s.half_depth - s.canal_depth
        body = elliptic_column(p, (0, 0, 0), (s.half_width, s.half_depth, s.half_height))
        y = -s.half_depth - 5.0
        pedicle = capsule(
            p, (s.half_width - 3, 3 - s.half_depth, 3), (s.pillar_x - 2, y - 3, 3), 3.8
        )
        pillar = capsule(p, (s.pillar_x - 1, y - 4, 9), (s.pillar_x - 3, y - 8, -11), 4.0 * thick)
        transverse = capsule(
            p, (s.pillar_x - 2, y - 5, 3), (s.transverse_x, y - 12, 6), 4.0 * thick, 4.4
        )
        flat = torch.stack((p[0], p[1], p[2] * 0.45))
        lamina = capsule(flat, (s.pillar_x - 3, y - 8, -1), (0, arch - 2, -2), 2.8 * thick)
        narrow = torch.stack((p[0] * 1.3, p[1], p[2] * 0.8))
        spinous = capsule(narrow, (0, arch, -3), (0, arch - s.spinous * 0.85, -14), 3.2, 3.0)
        return smooth_union([body, pedicle, pillar, transverse, lamina, spinous], 2.5)

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Thoracic levels are never fractured here; every part is the body."""
        return (0.0, 0.0, 0.0)


def parametric(level: str, size: VertebraSize, variation: Variation) -> VertebraShape:
    """The solid of ``level``, from C1 to T5."""
    if level == "C1":
        return Atlas(size, variation)
    if level == "C2":
        return Axis(size, variation)
    return Subaxial(size, variation) if level.startswith("C") else Thoracic(size, variation)
