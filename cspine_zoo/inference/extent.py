"""Of each level: whether it was found, where it is, and how much of it is in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.anatomy import LABEL_OF, LEVELS, MINIMUM_FOUND_MM3
from cspine_zoo.preprocess.crops import Box
from cspine_zoo.results import LabelMap, Point

TYPICAL_CM3: Final = (16.4, 19.7, 13.0, 13.1, 14.6, 15.3, 17.8)
"""Volumes of C1-C7, arches and processes included: means of the two label maps that were measured
(an adult of VerSe 2020 and the ArtiSynth neck). Only their ratios are used."""


@dataclass(frozen=True)
class LevelExtent:
    """One cervical level of a label map.

    Attributes:
        level: such as ``"C5"``.
        found: its largest component holds at least 1 cm3.
        visible_fraction: see ``level_extents``.
        centroid_mm: world position of the whole mask's centroid; None if it is not found.
        volume_mm3: of the whole mask.
        box: indices that hold it; None if there is nothing.
    """

    level: str
    found: bool
    visible_fraction: float
    centroid_mm: Point | None
    volume_mm3: float
    box: Box | None


def level_extents(label_map: LabelMap, within: Box | None = None) -> tuple[LevelExtent, ...]:
    """Measure C1-C7 in a label map.

    The visible fraction is 1 unless a mask touches the edge of the scan; then it is its volume
    over the volume to be expected from whole neighbours and the usual ratio of levels, at most 1.
    A level without any voxel has 0.

    Args:
        label_map: of a study.
        within: a box outside which there are no labels, where it is known: most of a study.

    Returns:
        C1-C7 in order.
    """
    measured = [
        _measure(label_map, level, box)
        for level, box in zip(LEVELS, _boxes(label_map.labels, within), strict=True)
    ]
    cut = [m.box is not None and _touches_edge(label_map, m.box) for m in measured]
    whole = [
        (index, m.volume_mm3) for index, m in enumerate(measured) if m.found and not cut[index]
    ]
    return tuple(
        LevelExtent(
            m.level,
            m.found,
            _visible(index, m, cut[index], whole),
            m.centroid_mm,
            m.volume_mm3,
            m.box,
        )
        for index, m in enumerate(measured)
    )


def _boxes(labels: NDArray[np.uint8], within: Box | None) -> list[Box | None]:
    part = labels if within is None else labels[within]
    start = (0, 0, 0) if within is None else tuple(s.start for s in within)
    boxes: list[Box | None] = []
    for found in ndimage.find_objects(part, max_label=len(LEVELS)):
        if found is None:
            boxes.append(None)
        else:
            i, j, k = (slice(s.start + o, s.stop + o) for s, o in zip(found, start, strict=True))
            boxes.append((i, j, k))
    return boxes


def _measure(label_map: LabelMap, level: str, box: Box | None) -> LevelExtent:
    if box is None:
        return LevelExtent(level, False, 0.0, None, 0.0, None)
    mask = label_map.labels[box] == LABEL_OF[level]
    components, count = ndimage.label(mask)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    voxel_mm3 = label_map.geometry.voxel_mm3
    found = bool(sizes.max() * voxel_mm3 >= MINIMUM_FOUND_MM3)
    return LevelExtent(
        level,
        found,
        0.0,
        _centroid(mask, box, label_map) if found else None,
        float(sizes.sum() * voxel_mm3),
        box,
    )


def _centroid(mask: NDArray[np.bool_], box: Box, label_map: LabelMap) -> Point:
    voxel = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        profile = np.count_nonzero(mask, axis=others)
        voxel.append(box[axis].start + float(np.average(np.arange(len(profile)), weights=profile)))
    x, y, z = label_map.geometry.to_world(voxel)
    return float(x), float(y), float(z)


def _touches_edge(label_map: LabelMap, box: Box) -> bool:
    sizes = label_map.geometry.shape
    return any(s.start == 0 or s.stop == size for s, size in zip(box, sizes, strict=True))


def _visible(index: int, measured: LevelExtent, cut: bool, whole: list[tuple[int, float]]) -> float:
    if measured.box is None:
        return 0.0
    if not cut:
        return 1.0
    nearest = min((abs(index - other) for other, _ in whole), default=0)
    scales = [
        volume / TYPICAL_CM3[other] for other, volume in whole if abs(index - other) == nearest
    ]
    # Without a whole level to compare with, an adult's usual size has to do.
    expected = TYPICAL_CM3[index] * (float(np.mean(scales)) if scales else 1000.0)
    return min(measured.volume_mm3 / expected, 1.0)
