"""What the families of a scene make of one vertebra's bone."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cspine_zoo.synthetic.bone import BoneQuality, BoneTexture
from cspine_zoo.synthetic.families import BONE_TEXTURE, HARD_NEGATIVES
from cspine_zoo.synthetic.lookalikes import draw_lookalikes
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.spine import Vertebra
from cspine_zoo.synthetic.wild import is_wild, wild_bone


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
    if is_wild(scene):
        looks.append(wild_bone(scene))
    return looks


def clutter_hu(scene: Scene) -> float:
    """Deviation of bone without a fracture, for how well one stands out against it."""
    tissues = scene.tissues
    texture, clutter = sum(t * t for t in tissues.texture), 60.0 * tissues.clutter
    if BONE_TEXTURE in scene.families:
        quality = BoneQuality.draw(stream(scene.seed, BONE_TEXTURE))
        # Vessels are dark lines, and density changes over the distance of a fragment.
        texture = sum(g * g for g in quality.grain) + (quality.unevenness * quality.spongy) ** 2
        clutter = 15.0 * quality.vessels
    if HARD_NEGATIVES in scene.families:
        clutter += 40.0
    return float(texture**0.5 + clutter)
