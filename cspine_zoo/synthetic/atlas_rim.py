"""The front of the atlas as a plate: its arch runs on in front of the lateral masses.

On slices that cut a tilted atlas, arch and transverse processes are one bright line before the
masses, with a dark one between. Nothing is broken there. The ranges are wide guesses after the
look of CT, not measurements of patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import chain, union
from cspine_zoo.synthetic.vertebra import VertebraShape

_RIMLESS: Final = 0.35
"""Share of atlases without one: a choice, so that networks meet both."""


@dataclass(frozen=True)
class Rim:
    """A plate in front of C1, in mm of its frame.

    Attributes:
        height: of its middle over the anterior arch.
        forward: how far it stands before the masses; what is left between is the dark line.
        half_thickness: from front to back.
        tallness: half its height against its half thickness.
        reach: how far it runs to the right and to the left.
        fall: by how much its ends lie lower than its middle.
    """

    height: float
    forward: float
    half_thickness: float
    tallness: float
    reach: tuple[float, float]
    fall: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Rim | None:
        """A random rim, or none."""
        if rng.random() < _RIMLESS:
            return None
        reach = rng.uniform(14.0, 38.0)
        return cls(
            height=rng.uniform(-4.0, 6.0),
            forward=rng.uniform(-2.0, 2.5),
            half_thickness=rng.uniform(1.0, 2.3),
            tallness=rng.uniform(1.2, 3.5),
            reach=(reach + rng.normal(0, 2.0), reach + rng.normal(0, 2.0)),
            fall=rng.uniform(0.0, 4.0),
        )

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        flat = torch.stack((points[0], points[1], (points[2] - self.height) / self.tallness))
        sides = []
        for side, reach in zip((1.0, -1.0), self.reach, strict=True):
            path = [
                (side * share * reach, self.forward + back, -self.fall * share / self.tallness)
                for share, back in ((0.0, 1.0), (0.35, -0.5), (0.65, -3.5), (1.0, -8.5))
            ]
            sides.append(chain(flat, path, self.half_thickness))
        return union(sides)


@dataclass(frozen=True)
class RimmedAtlas:
    """A C1 and the rim before it."""

    shape: VertebraShape
    rim: Rim

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        return torch.minimum(self.shape.distance(points), self.rim.distance(points))

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Place of a part, on the right where it is paired."""
        return self.shape.landmark(name)
