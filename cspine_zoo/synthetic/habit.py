"""How one vertebra departs from the smooth average: build, wear, old deformity, asymmetry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import ellipsoid, smooth_union, subtract
from cspine_zoo.synthetic.morphometry import VertebraSize
from cspine_zoo.synthetic.randomness import Waves
from cspine_zoo.synthetic.vertebra import Variation, VertebraShape

_BODY_GROWTH: Final = (1.2, 1.1)
"""Width and depth of bodies against ``SIZES``: C3 to C7 of two label maps of real necks measure
9.8 to 13.3 mm and 8.4 to 9.5 mm from the middle, the average 8.8 to 11.5 and 7.8 to 8.5."""

_STEEPEST: Final = 0.035
"""Largest amplitude of a warp against its wavelength; beyond it, bone would fold."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Wear:
    """What the vertebrae of one neck have in common.

    Attributes:
        spurs: osteophytes to expect on each body.
        lip: growth of the uncinate processes.
        flattened: chance that a body is old and deformed.
    """

    spurs: float
    lip: float
    flattened: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Wear:
        """A random age: most necks are little worn, some are badly."""
        age = rng.uniform(0, 1) ** 1.5
        return cls(4.0 * age, 1.0 + 1.2 * age * rng.uniform(), 0.05 + 0.2 * age)


@dataclass(frozen=True, eq=False)
class Habit:
    """One vertebra's own form; lengths in mm.

    Attributes:
        uneven: relative growth of the right side over the left.
        skew: rise and advance of the right side, mm per mm.
        wedge: share of the body's height that its front lacks; negative, its back.
        hollow: share of the height that is missing in the middle of the body.
        stout: thickening of everything.
        warp: smooth displacement.
        spurs: centre and radii of osteophytes.
        cleft: middle and half width of a gap in C1's posterior arch, if any.
    """

    uneven: float
    skew: tuple[float, float]
    wedge: float
    hollow: float
    stout: float
    warp: Waves
    spurs: tuple[tuple[Point, Point], ...] = ()
    cleft: tuple[float, float] | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, level: str, size: VertebraSize, wear: Wear) -> Habit:
        """A random vertebra of a neck; C1 has no body, and C2's carries the dens."""
        longest = rng.uniform(16.0, 45.0)
        amplitude = min(rng.uniform(0.3, 2.6), _STEEPEST * longest)
        warp = Waves.draw(rng, 3, amplitude, (0.8 * longest, 1.3 * longest), count=4)
        old = rng.random() < wear.flattened
        wedge = rng.choice([-0.4, 1.0]) * rng.uniform(0.08, 0.38) if old else rng.normal(0, 0.04)
        hollow = rng.uniform(0.1, 0.35) if rng.random() < wear.flattened else rng.uniform(0, 0.1)
        spurs = tuple(_spur(rng, size) for _ in range(int(rng.poisson(wear.spurs))))
        cleft = (rng.normal(0, 5.0), rng.uniform(1.0, 7.0)) if rng.random() < 0.06 else None
        bodied = level not in ("C1", "C2")
        return cls(
            uneven=float(np.clip(rng.normal(0, 0.045), -0.12, 0.12)),
            skew=(rng.normal(0, 0.03), rng.normal(0, 0.03)),
            wedge=float(wedge) if bodied else 0.0,
            hollow=hollow if bodied else 0.0,
            stout=rng.uniform(-0.35, 0.45),
            warp=warp,
            spurs=spurs if bodied else (),
            cleft=cleft if level == "C1" else None,
        )


@dataclass(frozen=True, eq=False)
class HabitualShape:
    """A solid with a habit."""

    plain: VertebraShape
    habit: Habit

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        h = self.habit
        p = points + h.warp.at(points)
        x = p[0] * (1 - h.uneven * torch.tanh(p[0] / 6.0))
        y = p[1] - h.skew[1] * x
        z = p[2] - h.skew[0] * x
        if h.wedge or h.hollow:
            body = torch.sigmoid((y + 9.0) / 1.5) * torch.sigmoid((15.0 - x.abs()) / 1.5)
            middle = torch.exp(-(x * x + y * y) / 50.0)
            tilt = (y / 8.0).clamp(-1, 1)
            share = h.wedge * (tilt if h.wedge > 0 else -tilt).clamp_min(0) * np.sign(h.wedge)
            z = z / (1 - body * torch.clamp(share + h.hollow * middle, max=0.5))
        q = torch.stack((x, y, z))
        solids = [self.plain.distance(q) - h.stout]
        solids += [ellipsoid(q, centre, radii) for centre, radii in h.spurs]
        distance = smooth_union(solids, 1.5)
        if h.cleft:
            gap = torch.maximum((q[0] - h.cleft[0]).abs() - h.cleft[1], q[1] + 32.0)
            distance = subtract(distance, gap)
        return distance

    def landmark(self, name: str) -> Point:
        """Place of a part, on the right where it is paired."""
        return self.plain.landmark(name)


def build(rng: np.random.Generator, level: str, size: VertebraSize, *, wide: bool) -> VertebraSize:
    """Sizes of one vertebra of a random neck.

    Args:
        rng: stream of its own.
        level: C1 to T5.
        size: of the average.
        wide: whether C7 passes over into T1: its transverse processes are as long.
    """
    grow = _BODY_GROWTH if level not in ("C1", "C2") else (1.06, 1.03)
    reach = rng.uniform(0.92, 1.1) * (1.18 if wide and level == "C7" else 1.0)
    return replace(
        size,
        half_width=size.half_width * grow[0] * rng.uniform(0.93, 1.07),
        half_depth=size.half_depth * grow[1] * rng.uniform(0.93, 1.07),
        canal_depth=size.canal_depth * rng.uniform(0.85, 1.15),
        pillar_x=size.pillar_x * rng.uniform(0.97, 1.06),
        transverse_x=size.transverse_x * reach,
        spinous=size.spinous * rng.uniform(0.65, 1.3),
    )


def worn(variation: Variation, wear: Wear) -> Variation:
    """The variation with uncinate processes grown by wear."""
    return replace(variation, lip=variation.lip * wear.lip)


def _spur(rng: np.random.Generator, size: VertebraSize) -> tuple[Point, Point]:
    """An osteophyte on the rim of an end plate, mostly in front and at the sides."""
    angle = np.radians(rng.uniform(-25, 205))
    x, y = size.half_width * np.cos(angle), size.half_depth * np.sin(angle)
    z = rng.choice([-1.0, 1.0]) * (size.half_height - rng.uniform(0.0, 1.5))
    radii = rng.uniform(1.3, 4.0), rng.uniform(1.3, 4.0), rng.uniform(0.9, 2.4)
    return (float(x), float(y), float(z)), radii
