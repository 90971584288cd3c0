"""How the vertebral bodies are stacked: their heights, and the discs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from cspine_zoo.synthetic.morphometry import CHAIN, SIZES

PITCH_MM: Final = (12.0, 23.0)
"""Between the centres of neighbouring bodies from C3 to C7, from small women to tall men."""

_DISC_MM: Final = 4.8
"""Height of a healthy cervical disc; Gilad and Nissan, Spine 11:154 (1986), rounded."""


@dataclass(frozen=True)
class Stack:
    """Sizes along the spine, by level.

    Attributes:
        pitches: mm from a body's centre to the next lower one's.
        heights: scale of each vertebra along the spine; C1 has none.
    """

    pitches: Mapping[str, float]
    heights: Mapping[str, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Stack:
        """Bodies and discs drawn level by level, independent of the spine's width.

        In every other spine a body's height says nothing about its neighbour's; in the rest they
        are about alike, as in most people. Discs are high, worn or, one in forty, fused.
        """
        usual = rng.uniform(9.5, 16.0)
        alike = rng.random() < 0.5
        wear = rng.uniform(0.0, 0.9)
        bodies, discs = {}, {}
        for level in CHAIN[1:]:
            size = SIZES[level]
            own = usual * rng.uniform(0.9, 1.1) if alike else rng.uniform(9.0, 17.0)
            bodies[level] = own * size.half_height / SIZES["C5"].half_height
            worn = rng.random() < wear
            discs[level] = _DISC_MM * (rng.uniform(0.3, 0.8) if worn else rng.uniform(0.7, 1.4))
            if rng.random() < 0.025:
                discs[level] = -0.5
        bodies["C2"] = 2 * SIZES["C2"].half_height * rng.uniform(0.82, 1.2)
        pitches = {"C1": SIZES["C1"].pitch}
        for above, below in pairwise(CHAIN[1:]):
            pitch = 0.5 * (bodies[above] + bodies[below]) + discs[above]
            bound = above != "C2" and above.startswith("C")
            pitches[above] = float(np.clip(pitch, *PITCH_MM)) if bound else pitch
        pitches[CHAIN[-1]] = SIZES[CHAIN[-1]].pitch
        heights = {level: bodies[level] / (2 * SIZES[level].half_height) for level in CHAIN[1:]}
        return cls(pitches, heights)
