"""Fractures: rough cut surfaces with a gap, at places that each level breaks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.rsna.prevalence import TRAINING_PREVALENCE
from cspine_zoo.synthetic.distance import length
from cspine_zoo.synthetic.randomness import Waves
from cspine_zoo.synthetic.vertebra import VertebraShape


@dataclass(frozen=True, eq=False)
class Cut:
    """One fracture surface, in the frame of its vertebra.

    Attributes:
        point: (3,) mm on the surface.
        normal: (3,) unit vector across it, towards the fragment.
        radius_mm: how far from ``point`` the surface reaches.
        gap_mm: width of the gap.
        shift: (3,) mm by which the fragment has moved.
        roughness: waves of the surface about its plane.
    """

    point: np.ndarray
    normal: np.ndarray
    radius_mm: float
    gap_mm: float
    shift: np.ndarray
    roughness: Waves

    def height(self, local: Tensor) -> Tensor:
        """Signed distance (n,) of frame points (3, n) from the rough surface."""
        normal = torch.as_tensor(self.normal, dtype=local.dtype, device=local.device)
        return normal @ (local - self._point(local)) + self.roughness.at(local)[0]

    def reach(self, local: Tensor) -> Tensor:
        """1 near the surface's centre, falling to 0 over its last 2 mm."""
        distance = length(local - self._point(local))
        return ((self.radius_mm - distance) / 2.0).clamp(0, 1)

    def _point(self, local: Tensor) -> Tensor:
        return torch.as_tensor(self.point, dtype=local.dtype, device=local.device)[:, None]


@dataclass(frozen=True, eq=False)
class Fracture:
    """All cuts of one vertebra, and how far its body is wedged; whole if there are none."""

    kind: str
    cuts: tuple[Cut, ...]
    wedge: float = 0.0

    @classmethod
    def none(cls) -> Fracture:
        """An unbroken vertebra; it is rendered by the same steps."""
        return cls("none", ())

    @property
    def displacement_mm(self) -> float:
        """Largest move of a fragment."""
        return max((float(np.linalg.norm(cut.shift)) for cut in self.cuts), default=0.0)

    def displaced(self, shape: VertebraShape, local: Tensor) -> Tensor:
        """Distance to the broken solid: fragments moved, the body's front wedged."""
        points = self._wedged(local)
        distance = shape.distance(points)
        for cut in self.cuts:
            if float(np.abs(cut.shift).max()) == 0.0:
                continue
            shift = torch.as_tensor(cut.shift, dtype=local.dtype, device=local.device)[:, None]
            moved = points - shift
            fragment = torch.maximum(shape.distance(moved), -cut.height(moved))
            fragment = torch.where(cut.reach(moved) > 0, fragment, torch.full_like(fragment, 99.0))
            inside = (cut.height(points) > 0) & (cut.reach(points) > 0)
            remainder = torch.where(inside, cut.height(points), distance)
            distance = torch.minimum(torch.maximum(distance, remainder), fragment)
        return distance

    def source(self, local: Tensor) -> tuple[Tensor, Tensor]:
        """Where the bone that is now at frame points (3, n) was before the break.

        Returns:
            The places (3, n), and bool (n,) where a fragment moved or was torn away: bone there
            has a fresh surface, without cortex.
        """
        places = self._wedged(local)
        torn = (places != local).any(0)
        for cut in self.cuts:
            if float(np.abs(cut.shift).max()) == 0.0:
                continue
            shift = torch.as_tensor(cut.shift, dtype=local.dtype, device=local.device)[:, None]
            moved = places - shift
            carried = (cut.height(moved) > 0) & (cut.reach(moved) > 0)
            torn |= carried | (cut.reach(places) > 0)
            places = torch.where(carried, moved, places)
        return places, torn

    def gap(self, local: Tensor, voxel_mm: float) -> Tensor:
        """Share (n,) of each voxel that lies in a gap, at frame points (3, n)."""
        share = torch.zeros_like(local[0])
        for cut in self.cuts:
            overlap = 0.5 * (cut.gap_mm + voxel_mm) - cut.height(local).abs()
            overlap = overlap.clamp(0, min(cut.gap_mm, voxel_mm)) / voxel_mm
            share = torch.maximum(share, overlap * cut.reach(local))
        return share

    def region(self, local: Tensor, margin_mm: float = 1.0) -> Tensor:
        """Bool (n,): frame points that belong to the fracture, for truth masks and boxes."""
        near = torch.zeros_like(local[0], dtype=torch.bool)
        for cut in self.cuts:
            band = 0.5 * cut.gap_mm + margin_mm
            near |= (cut.height(local).abs() < band) & (cut.reach(local) > 0)
        return near

    def _wedged(self, local: Tensor) -> Tensor:
        if self.wedge == 0.0:
            return local
        front = torch.sigmoid((local[1] + 4.0) / 3.0) * (local[1] > -14) * (local[0].abs() < 16)
        squeeze = 1.0 - self.wedge * front
        upper = torch.where(local[2] > -6, (local[2] + 6) / squeeze - 6, local[2])
        return torch.stack((local[0], local[1], upper))


@dataclass(frozen=True)
class Site:
    """Where and how a level can break: landmark, direction across the cut, reach, and odds."""

    kind: str
    landmark: str
    normal: tuple[float, float, float]
    radius_mm: float
    odds: float
    paired: bool = False


_SUBAXIAL: Final = (
    Site("body-sagittal", "body", (1.0, 0.0, 0.0), 17.0, 1.0),
    Site("body-transverse", "body", (0.0, 0.2, 1.0), 17.0, 1.0),
    Site("teardrop", "corner", (0.0, 0.8, -0.6), 10.0, 1.2),
    Site("wedge", "plate", (0.0, 0.5, 0.9), 13.0, 1.2),
    Site("pedicle", "pedicle", (0.6, -0.8, 0.0), 9.0, 0.8, paired=True),
    Site("lamina", "lamina", (0.8, 0.6, 0.0), 10.0, 1.8, paired=True),
    Site("facet", "pillar", (0.0, 0.5, 0.9), 10.0, 1.8, paired=True),
    Site("transverse", "transverse", (1.0, 0.0, 0.2), 9.0, 1.5, paired=True),
    Site("spinous", "spinous", (0.0, 1.0, -0.2), 11.0, 1.5),
)

SITES: Final[Mapping[str, tuple[Site, ...]]] = {
    "C1": (
        Site("anterior-arch", "body", (1.0, -0.4, 0.0), 9.0, 1.0, paired=True),
        Site("posterior-arch", "lamina", (0.7, 0.7, 0.0), 9.0, 1.5, paired=True),
        Site("lateral-mass", "pillar", (0.5, 0.8, 0.2), 13.0, 0.7, paired=True),
        Site("transverse", "transverse", (1.0, 0.0, 0.0), 9.0, 0.5, paired=True),
    ),
    "C2": (
        Site("dens-II", "dens", (0.0, 0.15, 1.0), 10.0, 2.0),
        Site("dens-III", "body", (0.0, 0.2, 1.0), 16.0, 1.5),
        Site("hangman", "pedicle", (0.2, 1.0, 0.2), 11.0, 1.5, paired=True),
        Site("lamina", "lamina", (0.8, 0.6, 0.0), 10.0, 0.7, paired=True),
        Site("teardrop", "corner", (0.0, 0.8, -0.6), 10.0, 0.6),
        Site("transverse", "transverse", (1.0, 0.0, 0.2), 9.0, 0.5, paired=True),
    ),
    **dict.fromkeys(("C3", "C4", "C5", "C6", "C7"), _SUBAXIAL),
}
"""Patterns after the AO Spine, Anderson-D'Alonzo (dens), Jefferson (C1) and Levine-Edwards
(hangman) classifications; odds are the project's own choice."""

NEIGHBOUR_ODDS: Final = 0.3
"""Chance that a fracture brings another one at the next level; RSNA 2022's conditional
frequencies run from .38 to .56, part of which chance alone explains."""


def draw_levels(rng: np.random.Generator) -> tuple[str, ...]:
    """At least one fractured level, by RSNA's frequencies, neighbours going together."""
    odds = np.array(TRAINING_PREVALENCE[: len(LEVELS)])
    first = int(rng.choice(7, p=odds / odds.sum()))
    chosen = {first}
    for step in (-1, 1):
        level = first + step
        while 0 <= level < 7 and rng.random() < NEIGHBOUR_ODDS:
            chosen.add(level)
            level += step
    return tuple(LEVELS[i] for i in sorted(chosen))


def draw_fracture(rng: np.random.Generator, level: str, shape: VertebraShape) -> Fracture:
    """A random fracture of ``level``; about two in five are subtle (narrow, not displaced)."""
    sites = SITES[level]
    odds = np.array([site.odds for site in sites])
    site = sites[int(rng.choice(len(sites), p=odds / odds.sum()))]
    subtle = rng.random() < 0.4
    sides = [1.0] if not site.paired else [float(rng.choice([-1.0, 1.0]))]
    if site.paired and rng.random() < (0.6 if level in ("C1", "C2") else 0.25):
        sides = [1.0, -1.0]
    cuts = tuple(_draw_cut(rng, site, shape, side, subtle) for side in sides)
    wedge = rng.uniform(0.12, 0.4) if site.kind == "wedge" and not subtle else 0.0
    return Fracture(site.kind, cuts, wedge)


def _draw_cut(
    rng: np.random.Generator, site: Site, shape: VertebraShape, side: float, subtle: bool
) -> Cut:
    mirror = np.array([side, 1.0, 1.0])
    point = np.array(shape.landmark(site.landmark)) * mirror + rng.normal(0, 1.5, 3)
    normal = np.array(site.normal) * mirror + rng.normal(0, 0.25, 3)
    normal /= np.linalg.norm(normal)
    gap = rng.uniform(0.4, 1.0) if subtle else float(np.exp(rng.uniform(np.log(0.8), np.log(2.8))))
    shift = np.zeros(3)
    if not subtle and rng.random() < 0.6:
        shift = normal * rng.uniform(0.0, 1.5) + rng.normal(0, 1.0, 3)
    roughness = Waves.draw(rng, 1, rng.uniform(0.3, 1.1), (4.0, 20.0), count=6)
    return Cut(point, normal, site.radius_mm * rng.uniform(0.8, 1.2), gap, shift, roughness)
