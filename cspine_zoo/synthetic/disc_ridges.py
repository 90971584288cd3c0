"""Ridges of bone beside worn discs: what is left of the dark disc is a lens in its middle or front.

Uncinate processes and the lips of worn end plates stand at the sides and the back of a disc. On
slices of 3 mm they run into one another, and from behind two bodies look like one. The ranges are
wide guesses after the look of CT, not measurements of patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cspine_zoo.synthetic.distance import elliptic_column, subtract
from cspine_zoo.synthetic.families import DISC_RIDGES
from cspine_zoo.synthetic.frame import Frame
from cspine_zoo.synthetic.randomness import stream

HalfSizes = tuple[float, float, float]
"""Of a disc: lateral, from front to back, and along the spine, in mm."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """Bone in the rim of one disc, in the disc's frame.

    Attributes:
        frame: of the disc; x to the right, y to the front, z up.
        outline: half sizes of the disc with its lips.
        middle: (x, y) of the lens that stays disc.
        lens: half sizes (x, y) of that lens.
        meeting: height at which the lips of both bodies meet, and its slope to the front.
        line_mm: dark line between the lips; 0 where they have grown together.
    """

    frame: Frame
    outline: HalfSizes
    middle: tuple[float, float]
    lens: tuple[float, float]
    meeting: tuple[float, float]
    line_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, frame: Frame, half: HalfSizes) -> Ridge:
        """A random ridge about a disc."""
        width, depth, height = half
        lens = width * rng.uniform(0.35, 1.0), depth * rng.uniform(0.35, 1.0)
        lips = rng.uniform(0.0, 1.8, 2)
        return cls(
            frame=frame,
            outline=(width + lips[0], depth + lips[1], height),
            middle=(rng.normal(0, 0.1) * width, rng.uniform(-0.2, 1.1) * (depth - lens[1])),
            lens=lens,
            meeting=(rng.uniform(-0.6, 0.6) * height, rng.normal(0, 0.15)),
            line_mm=max(0.0, rng.uniform(-1.0, 2.0)),
        )

    @property
    def reach(self) -> float:
        """No bone is farther from the frame's origin along any axis, in mm."""
        return max(self.outline) + 2.0

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of scene points (3, n) to the bone."""
        local = self.frame.to_local(points)
        column = elliptic_column(local, (0, 0, 0), self.outline)
        # Open above and below: there the bodies end it.
        lens = elliptic_column(local, (*self.middle, 0), (*self.lens, self.outline[2] + 3.0))
        line = self._height(local).abs() - 0.5 * self.line_mm
        return subtract(subtract(column, lens), line)

    def above(self, points: Tensor) -> Tensor:
        """Which scene points (3, n) belong to the upper body."""
        return self._height(self.frame.to_local(points)) > 0

    def _height(self, local: Tensor) -> Tensor:
        """Over the surface where the lips meet."""
        height, slope = self.meeting
        return local[2] - height - slope * local[1]


def draw_ridges(seed: int, discs: list[tuple[Frame, HalfSizes]]) -> list[Ridge | None]:
    """A ridge, or none, for each disc; in some necks for nearly all of them."""
    rng = stream(seed, DISC_RIDGES)
    share = rng.uniform(0.0, 1.0)
    return [
        Ridge.draw(one, frame, half) if one.random() < share else None
        for one, (frame, half) in zip(rng.spawn(len(discs)), discs, strict=True)
    ]
