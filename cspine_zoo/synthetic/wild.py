"""One patient in five with tissues that no patient has: what is learned may not hang on HU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from torch import Tensor

from cspine_zoo.synthetic.families import WILD
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.tissue import Tissues

SHARE: Final = 0.2

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "cortex": (300.0, 2400.0),
    "cortex_mm": (0.2, 3.0),
    "trabecular": (20.0, 1100.0),
    "sclerosis": (0.0, 900.0),
    "disc": (-60.0, 280.0),
    "muscle": (-20.0, 180.0),
    "fat": (-200.0, 0.0),
    "fluid": (-40.0, 120.0),
    "cord": (-20.0, 140.0),
    "brain": (-20.0, 140.0),
    "teeth": (900.0, 3000.0),
    "cartilage": (20.0, 900.0),
    "lung": (-1000.0, -500.0),
}


@dataclass(frozen=True)
class WildBone:
    """Bone of any contrast and density, its structure as it was."""

    factor: float
    offset_hu: float

    def paint(
        self,
        bone: Tensor,
        local: Tensor,
        distance: Tensor,
        spacing_mm: tuple[float, float, float],
    ) -> Tensor:
        """HU (n,) of bone that is denser or looser than it was."""
        return (bone * self.factor + self.offset_hu).clamp(-90, 2600)


def is_wild(scene: Scene) -> bool:
    """Whether a scene is one of those."""
    return WILD in scene.families and bool(stream(scene.seed, WILD).random() < SHARE)


def tissues_of(scene: Scene) -> Tissues:
    """The tissues that a scene is painted with."""
    if not is_wild(scene):
        return scene.tissues
    rng = stream(scene.seed, WILD, "tissues")
    drawn = {name: float(rng.uniform(*ends)) for name, ends in _RANGES.items()}
    return replace(scene.tissues, texture=scene.tissues.texture, **drawn)


def wild_bone(scene: Scene) -> WildBone:
    """How the bone of a wild scene is changed."""
    rng = stream(scene.seed, WILD, "bone")
    factor = float(np.exp(rng.uniform(np.log(0.5), np.log(1.6))))
    return WildBone(factor, float(rng.uniform(-100, 250)))
