"""What the families of a scene make of one vertebra's bone."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cspine_zoo.synthetic.bone import BoneTexture
from cspine_zoo.synthetic.families import BONE_TEXTURE, HARD_NEGATIVES
from cspine_zoo.synthetic.lookalikes import draw_lookalikes
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.spine import Vertebra


class Look(Protocol):
    """Anything that changes the HU of bone by its place."""

    def paint(
        self,
        bone: Tensor,
        local: Tensor,
        distance: Tensor,
        spacing_mm: tuple[float, float, float],
    ) -> Tensor:
        """HU (n,) from HU (n,), at places (3, n) in the unbroken vertebra's frame.

        Args:
            bone: HU so far.
            local: frame mm.
            distance: signed mm from the surface, negative inside.
            spacing_mm: of the voxels.
        """
        ...


def looks_of(scene: Scene, vertebra: Vertebra) -> list[Look]:
    """The looks of a vertebra in the order in which they are painted."""
    looks: list[Look] = []
    if BONE_TEXTURE in scene.families:
        looks.append(BoneTexture.draw(scene.seed, vertebra.level))
    if HARD_NEGATIVES in scene.families:
        looks += draw_lookalikes(scene.seed, vertebra.level)
    return looks
