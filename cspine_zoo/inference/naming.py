"""From what the network painted to levels that can be trusted: each once, in order, in place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from cspine_zoo.anatomy import LEVEL_OF, MINIMUM_FOUND_MM3, THORACIC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import Notice
from cspine_zoo.errors import StudyRejected
from cspine_zoo.inference.chain import LEAST_RENAMED_MM3, Link, best_chain
from cspine_zoo.inference.pieces import SPECK, Piece, find_pieces

LEAST_PIECE_MM3: Final = 400.0
"""A smaller piece cannot be a vertebra; it may be part of one."""

MOST_PIECES: Final = 80

LEAST_LEVELS: Final = 2
"""Cervical levels of at least 1 cm3 that a spine must show."""

LEVELS_BEYOND_DOUBT: Final = 4
LEAST_SHARE: Final = 0.5
"""A chain of fewer levels must hold this share of all bone called cervical: scattered islands in
a chest or a skull can stand in line by chance, four of them in the right order hardly."""

_GAP_MM: Final = 5.0
"""A small piece of a level's own label this near to it is part of it, across a fracture gap."""

_ASIDE_MM: Final = 45.0
"""Half the width of the widest level (C1, 82-90 mm): a piece of the same label and height within
it is part of the level, such as the other half of the atlas."""

_TOUCH_VOXELS: Final = 1.8
"""Corner to corner."""

_SPECK_VOXELS: Final = 2
"""Half the width of most specks, rounded up."""


@dataclass(frozen=True, eq=False)
class Naming:
    """Trusted labels and what the user should know about them.

    Attributes:
        labels: uint8, 0; 1-7 C1-C7; 8 T1 and every level below.
        notices: doubts about the names.
    """

    labels: NDArray[np.uint8]
    notices: tuple[Notice, ...]


def name_levels(raw: NDArray[np.uint8], geometry: Geometry) -> Naming:
    """Keep the one chain of vertebrae that makes a spine and name it from top to bottom.

    Islands elsewhere (skull, shoulders) go, however large; no level appears twice; a piece
    whose label contradicts the order gets the name of its place; crumbs join the level they
    touch; discs go.

    Args:
        raw: uint8 labels 0-9 of the segmenter, axes in RAS order.
        geometry: their grid.

    Raises:
        StudyRejected: ``no_cervical_spine``.
    """
    numbers, pieces = find_pieces(raw, geometry)
    large = [piece.instance for piece in pieces if piece.instance.volume_mm3 >= LEAST_PIECE_MM3]
    large.sort(key=lambda instance: -instance.volume_mm3)
    chain = best_chain(large[:MOST_PIECES])
    _check_is_a_neck(chain, pieces)
    attached, left_out = _attach(pieces, chain, max(geometry.spacing_mm))
    lookup = np.zeros(len(pieces) + 2, np.uint8)  # the last one is SPECK, -1
    for number, name in attached.items():
        lookup[number] = name
    labels = lookup[numbers]
    _join_specks(labels, numbers == SPECK)
    return Naming(labels, tuple(_doubts(chain, left_out)))


def no_cervical_spine() -> StudyRejected:
    """The refusal of a scan that shows no neck."""
    return StudyRejected(
        "no_cervical_spine",
        "no cervical spine found",
        hint="Give a CT of the neck; where a study has several series, choose one.",
    )


def _check_is_a_neck(chain: Iterable[Link], pieces: Iterable[Piece]) -> None:
    volumes = [link.instance.volume_mm3 for link in chain if link.name < THORACIC]
    levels = sum(volume >= MINIMUM_FOUND_MM3 for volume in volumes)
    everything = sum(p.instance.volume_mm3 for p in pieces if p.instance.label < THORACIC)
    doubtful = levels < LEVELS_BEYOND_DOUBT and sum(volumes) < LEAST_SHARE * everything
    if levels < LEAST_LEVELS or doubtful:
        raise no_cervical_spine()


def _attach(
    pieces: list[Piece], chain: list[Link], voxel_mm: float
) -> tuple[dict[int, int], list[str]]:
    """Names of the pieces that stay, and where a whole vertebra's worth had to be left out."""
    names = {link.instance.index: link.name for link in chain}
    links = [(link, pieces[link.instance.index - 1]) for link in chain]
    trees = [cKDTree(piece.points_mm) for _, piece in links]
    attached, left_out = dict(names), []
    for piece in pieces:
        own = piece.instance
        if own.index in names:
            continue
        gaps = [_gap_mm(piece, other, tree) for (_, other), tree in zip(links, trees, strict=True)]
        kin = [
            link
            for (link, other), gap in zip(links, gaps, strict=True)
            if link.instance.label == own.label and _is_part(piece, other, gap)
        ]
        nearest = int(np.argmin(gaps))
        if kin:
            attached[own.index] = kin[0].name
        elif gaps[nearest] <= _TOUCH_VOXELS * voxel_mm and own.volume_mm3 < MINIMUM_FOUND_MM3:
            attached[own.index] = chain[nearest].name
        elif gaps[nearest] <= _GAP_MM and own.volume_mm3 >= LEAST_RENAMED_MM3:
            left_out.append(LEVEL_OF.get(chain[nearest].name, "T1"))
    return attached, left_out


def _join_specks(labels: NDArray[np.uint8], specks: NDArray[np.bool_]) -> None:
    """Give specks the name of the level around them, so that they leave no holes in it."""
    for _ in range(_SPECK_VOXELS):
        open_specks = specks & (labels == 0)
        if not open_specks.any():
            return
        labels[open_specks] = ndimage.grey_dilation(labels, size=(3, 3, 3))[open_specks]


def _gap_mm(piece: Piece, other: Piece, tree: cKDTree) -> float:
    """Distance of the nearest voxels; infinite beyond what matters."""
    apart = np.maximum(piece.low_mm - other.high_mm, other.low_mm - piece.high_mm)
    if apart.max() > _GAP_MM:
        return float("inf")
    distances, _ = tree.query(piece.points_mm, distance_upper_bound=_GAP_MM + 1e-6)
    return float(np.min(distances))


def _is_part(piece: Piece, other: Piece, gap_mm: float) -> bool:
    """Whether a piece is part of a larger one of the same label, and not a second vertebra."""
    if piece.instance.volume_mm3 > other.instance.volume_mm3:
        return False
    if piece.instance.volume_mm3 < LEAST_RENAMED_MM3 and gap_mm <= _GAP_MM:
        return True
    step = np.subtract(piece.instance.centroid_mm, other.instance.centroid_mm)
    aside_mm = float(np.hypot(step[0], step[1]))
    middle_mm = (piece.low_mm[2] + piece.high_mm[2]) / 2
    return bool(other.low_mm[2] <= middle_mm <= other.high_mm[2]) and aside_mm <= _ASIDE_MM


def _doubts(chain: list[Link], left_out: list[str]) -> list[Notice]:
    notices = []
    renamed = [link for link in chain if link.name != link.instance.label]
    if renamed:
        changes = ", ".join(LEVEL_OF.get(link.name, "T1") for link in renamed)
        notices.append(
            Notice(
                "level_uncertain",
                f"{changes} got the name from the order of the spine, not from the segmenter; "
                "the count of levels may be off by one.",
            )
        )
    if left_out:
        notices.append(
            Notice(
                "level_uncertain",
                f"Bone as large as a vertebra beside {', '.join(left_out)} fits no level and was "
                "left out; the count of levels may be off by one.",
            )
        )
    if not {1, 2, THORACIC} & {link.name for link in chain}:
        notices.append(
            Notice(
                "level_uncertain",
                "Neither C1 or C2 nor T1 is in view; levels were named by their shape alone and "
                "may be off by one.",
            )
        )
    return notices
