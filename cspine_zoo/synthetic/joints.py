"""Facet joints between C2 and T1: columns of dense bone with thin dark lines, some grown over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import capsule, length
from cspine_zoo.synthetic.morphometry import CHAIN, SIZES
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.spine import Vertebra
from cspine_zoo.synthetic.vessels import Point, as_point

JOINED: Final = CHAIN[1:8]
"""Levels whose articular pillars form the columns."""


@dataclass(frozen=True, eq=False)
class Facet:
    """One facet joint, in scene mm.

    Attributes:
        labels: of the upper and the lower vertebra.
        ends: centres of the upper and of the lower articular process.
        normal: (3,) across the joint, upwards.
        radius_mm: of the processes.
        gap_mm, gap_hu: width and content of the joint line; fused joints hold bone.
        bone_hu: of the processes.
        dense_hu, dense_mm: subchondral bone.
        bend: how the joint leaves its plane.
    """

    labels: tuple[int, int]
    ends: tuple[Point, Point]
    normal: np.ndarray
    radius_mm: float
    gap_mm: float
    gap_hu: float
    bone_hu: float
    dense_hu: float
    dense_mm: float
    bend: Waves

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Scene box around the joint."""
        ends, reach = np.array(self.ends), self.radius_mm + 3.0
        return ends.min(0) - reach, ends.max(0) + reach

    def processes(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both articular processes at scene points (3, n): distance, HU, and label (n,)."""
        distance = capsule(points, *self.ends, self.radius_mm)
        height = self._height(points)
        dense = torch.sigmoid((self.dense_mm - height.abs()) / 0.7)
        dense = torch.maximum(dense, torch.sigmoid((distance + 1.2) / 0.4))
        hu = self.bone_hu + (self.dense_hu - self.bone_hu) * dense
        return distance, hu, torch.where(height > 0, *self.labels).to(torch.uint8)

    def line(self, points: Tensor, voxel_mm: float) -> Tensor:
        """Share (n,) of the voxels at scene points (3, n) that the joint space fills."""
        middle = torch.tensor(self.ends, device=points.device).mean(0)[:, None]
        reach = ((self.radius_mm + 1.0 - length(points - middle)) / 1.5).clamp(0, 1)
        overlap = 0.5 * (self.gap_mm + voxel_mm) - self._height(points).abs()
        return overlap.clamp(0, min(self.gap_mm, voxel_mm)) / voxel_mm * reach

    def _height(self, points: Tensor) -> Tensor:
        middle = torch.tensor(self.ends, device=points.device).mean(0)[:, None]
        normal = torch.tensor(self.normal, dtype=points.dtype, device=points.device)
        return normal @ (points - middle) + self.bend.at(points)[0]


def draw_facets(seed: int, spine: Mapping[str, Vertebra]) -> list[Facet]:
    """The facet joints of a patient, right and left at each level, most of them open."""
    patient = stream(seed, "joints")
    density, gap = patient.uniform(0.0, 1.0), patient.uniform(0.3, 1.8)
    fused_odds = 0.35 if patient.random() < 0.15 else 0.03
    facets = []
    for above, below in pairwise(JOINED):
        for side in (-1.0, 1.0):
            rng = stream(seed, "joints", above, int(side))
            ends = _ends(spine[above], spine[below], side)
            fused = rng.random() < fused_odds
            bone = 250 + 500 * density * rng.uniform(0.6, 1.4)
            facets.append(
                Facet(
                    labels=(spine[above].label, spine[below].label),
                    ends=ends,
                    normal=_normal(rng, spine[below]),
                    radius_mm=float(rng.uniform(3.6, 5.6) * spine[below].frame.scale[0]),
                    gap_mm=float(gap * rng.uniform(0.5, 1.5)),
                    gap_hu=float(bone if fused else rng.uniform(-20, 160)),
                    bone_hu=float(bone),
                    dense_hu=float(bone + rng.uniform(50, 600)),
                    dense_mm=float(rng.uniform(0.5, 3.0)),
                    bend=Waves.draw(rng, 1, rng.uniform(0.1, 0.6), (9.0, 25.0), count=3),
                )
            )
    return facets


def draw_disc_hu(seed: int, count: int, usual: float) -> list[float]:
    """HU of each disc: mostly about the usual, now and then gas, lime or bone grown through."""
    rng = stream(seed, "joints", "discs")
    worn = 0.3 if rng.random() < 0.2 else 0.05
    found = []
    for _ in range(count):
        hu = usual + rng.normal(0, 12)
        kind, strange = rng.random(), rng.uniform(0, 1)
        if kind < 0.4 * worn:
            hu = 180 + 450 * strange  # grown together
        elif kind < 0.7 * worn:
            hu = 120 + 250 * strange  # calcified
        elif kind < worn:
            hu = -350 * strange  # vacuum phenomenon
        found.append(float(hu))
    return found


def _ends(above: Vertebra, below: Vertebra, side: float) -> tuple[Point, Point]:
    """Centres of the lower process of ``above`` and of the upper one of ``below``."""
    places = []
    for vertebra, lift in ((above, -1.0), (below, 1.0)):
        size = SIZES[vertebra.level]
        x = size.pillar_x - (2.0 if vertebra.level.startswith("T") else 0.0)
        z = -8.0 if vertebra.level == "C2" else lift * 5.0
        place = np.array([side * x, -size.half_depth - 8.0 + 2.0 * lift, z])
        places.append(as_point(vertebra.frame.to_scene(place)))
    return places[0], places[1]


def _normal(rng: np.random.Generator, below: Vertebra) -> np.ndarray:
    """Facets look up and back, at 30 to 60 degrees."""
    slant = np.radians(rng.uniform(30, 60))
    local = np.array([rng.normal(0, 0.15), -np.sin(slant), np.cos(slant)])
    normal = below.frame.rotation @ (local / np.linalg.norm(local))
    return np.asarray(normal)
