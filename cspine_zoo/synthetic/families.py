"""What of a scene is random beyond the first generation of this engine, family by family.

Every family draws from streams of its own, so that switching one off changes nothing else: the
difference between two scenes of the same seed is the family, and what it is worth can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Families = frozenset[str]
"""Names in ``FAMILIES``."""

BONE_TEXTURE: Final = "bone-texture"
PITCH: Final = "pitch"
ATLAS: Final = "atlas"
VIEW: Final = "view"
HARD_NEGATIVES: Final = "hard-negatives"
JOINTS: Final = "joints"
FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        PITCH: "bodies and discs of any height at each level, whatever the width",
        ATLAS: "skull, C1 and C2 with joints, dens and arches of any shape, the head turned",
        VIEW: "patients askew, training windows in head, girdle and chest, cut at any side",
        BONE_TEXTURE: "bone of vertebrae as uneven as real bone",
        HARD_NEGATIVES: "clefts, seams, channels, nodes and ossicles that are no fractures",
        JOINTS: "articular processes, facet joint lines, worn and fused joints and discs",
    }
)
"""What each family adds."""

FIRST: Final[Families] = frozenset()
"""The engine as the bundled weights have seen it."""

ALL: Final[Families] = frozenset(FAMILIES)
