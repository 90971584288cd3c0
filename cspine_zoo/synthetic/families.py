"""What of a scene is random beyond the first generation of this engine, family by family.

Every family draws from streams of its own, so that switching one off changes nothing else: the
difference between two scenes of the same seed is the family, and what it is worth can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cspine_zoo.synthetic.randomness import stream

Families = frozenset[str]
"""Names in ``FAMILIES``."""

BONE_TEXTURE: Final = "bone-texture"
PITCH: Final = "pitch"
ATLAS: Final = "atlas"
ATLAS_RIM: Final = "atlas-rim"
VIEW: Final = "view"
SHAPE: Final = "shape"
HARD_NEGATIVES: Final = "hard-negatives"
JOINTS: Final = "joints"
METAL: Final = "metal"
MOTION: Final = "motion"
BEAM_HARDENING: Final = "beam-hardening"
DEVICES: Final = "devices"
QUANTUM: Final = "quantum"
WILD: Final = "wild"
SOFT_PARTS: Final = "soft-parts"
THICK_SLICES: Final = "thick-slices"
DISC_RIDGES: Final = "disc-ridges"
FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        PITCH: "bodies and discs of any height at each level, whatever the width",
        ATLAS: "skull, C1 and C2 with joints, dens and arches of any shape, the head turned",
        ATLAS_RIM: "the front of C1 as a plate before its masses, with a dark line between",
        VIEW: "patients askew, training windows in head, girdle and chest, cut at any side",
        SHAPE: "bodies as large as real ones; wear, old deformity, asymmetry, curve, cervical ribs",
        BONE_TEXTURE: "bone of vertebrae as uneven as real bone",
        HARD_NEGATIVES: "clefts, seams, channels, nodes and ossicles that are no fractures",
        JOINTS: "articular processes, facet joint lines, worn and fused joints and discs",
        METAL: "fillings and their streaks, now and then screws",
        MOTION: "jolts and ghosts of a few slices",
        BEAM_HARDENING: "dark bands between the shoulders and under the skull base",
        DEVICES: "tables, collars and tubes",
        QUANTUM: "noise that hangs on nothing, blotchy or fine; kernels that lift edges",
        WILD: "one patient in five with tissues of any density",
        SOFT_PARTS: "vessels with and without contrast, plaques, glands, nodes, swelling",
        THICK_SLICES: "slices thicker than their pixels are averages, not samples of their middle",
        DISC_RIDGES: "lips of bone about worn discs, which leave little of them dark",
    }
)
"""What each family adds."""

FIRST: Final[Families] = frozenset()
"""The first generation of the engine."""

SECOND: Final[Families] = frozenset(FAMILIES) - {SOFT_PARTS, THICK_SLICES, ATLAS_RIM, DISC_RIDGES}
"""The second generation: ``challenge`` and ``tune`` were frozen with it."""

ALL: Final[Families] = frozenset(FAMILIES)


def some_of(families: Families, share: float, seed: int) -> Families:
    """Each family with the chance ``share``, drawn anew for every patient.

    A network that meets no two patients with the same set of appearances cannot take one of them
    for the mark of a fracture, or of its absence.
    """
    rng = stream(seed, "families")
    # Drawn in the order of the names: a set has none.
    return frozenset(name for name in sorted(families) if rng.random() < share)
