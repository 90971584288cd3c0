"""Labels of the segmenter's grid, brought onto the study's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.anatomy import THORACIC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.preprocess.crops import Box
from cspine_zoo.preprocess.resample import FloatVolume, apply_weights, grid_weights

_SLAB: Final = 24
"""Slices of the study worked on at once, so that only a few are held as floats."""

_BELOW_HALF: Final = np.float32(0.49)


@dataclass(frozen=True, eq=False)
class _Field:
    """One level: bone probability within one voxel of its label, zero elsewhere."""

    label: int
    box: Box
    values: FloatVolume
    reach: Box
    """Part of the study's grid that draws on ``box``."""


def to_study_grid(
    labels: NDArray[np.uint8], bone: NDArray[np.float32], grid: Geometry, study: Geometry
) -> tuple[NDArray[np.uint8], Box]:
    """Interpolate each level's bone probability; the strongest wins where they sum to one half.

    Outlines so lie between voxels of the coarse grid, while names come from ``labels`` alone.

    Args:
        labels: uint8 (I, J, K) on ``grid``, 0-8.
        bone: probability of any vertebra on ``grid``.
        grid: of the segmenter.
        study: grid of the result, with axes parallel to those of ``grid``.

    Returns:
        uint8 labels on ``study``, and a box of indices outside which all are 0.
    """
    result = np.zeros(study.shape, np.uint8)
    weights = grid_weights(grid, study)
    fields = _fields(labels, bone, weights)
    for start in range(0, study.shape[2], _SLAB):
        slab = slice(start, min(start + _SLAB, study.shape[2]))
        here = [field for field in fields if _common(field.reach[2], slab) is not None]
        if here:
            _fill(result, slab, here, weights)
    return result, _union(fields, study)


def _fields(
    labels: NDArray[np.uint8], bone: NDArray[np.float32], weights: Sequence[FloatVolume]
) -> list[_Field]:
    fields = []
    for index, found in enumerate(ndimage.find_objects(labels, max_label=THORACIC)):
        if found is None:
            continue
        box = tuple(
            slice(max(s.start - 1, 0), min(s.stop + 1, size))
            for s, size in zip(found, labels.shape, strict=True)
        )
        box = (box[0], box[1], box[2])
        own = labels[box] == index + 1
        rim = ndimage.binary_dilation(own, np.ones((3, 3, 3), np.bool_)) & (labels[box] == 0)
        # Bone that naming gave to no level stands beside some; it must not come back as its rim.
        values = np.where(own, bone[box], np.where(rim, np.minimum(bone[box], _BELOW_HALF), 0))
        fields.append(_Field(index + 1, box, values.astype(np.float32), _reach(box, weights)))
    return fields


def _reach(box: Box, weights: Sequence[FloatVolume]) -> Box:
    parts = []
    for part, matrix in zip(box, weights, strict=True):
        used = np.flatnonzero(np.any(matrix[:, part], axis=1))
        parts.append(slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0))
    return parts[0], parts[1], parts[2]


def _union(fields: Sequence[_Field], study: Geometry) -> Box:
    if not fields:
        return slice(0, study.shape[0]), slice(0, study.shape[1]), slice(0, study.shape[2])
    i, j, k = (
        slice(
            min(field.reach[axis].start for field in fields),
            max(field.reach[axis].stop for field in fields),
        )
        for axis in range(3)
    )
    return i, j, k


def _common(one: slice, other: slice) -> slice | None:
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start, stop) if start < stop else None


def _fill(
    result: NDArray[np.uint8], slab: slice, fields: list[_Field], weights: Sequence[FloatVolume]
) -> None:
    """Decide one slab of the study's grid."""
    window = [
        slice(
            min(field.reach[axis].start for field in fields),
            max(field.reach[axis].stop for field in fields),
        )
        for axis in (0, 1)
    ]
    shape = (*(w.stop - w.start for w in window), slab.stop - slab.start)
    labels = np.zeros(shape, np.uint8)
    strongest = np.zeros(shape, np.float32)
    total = np.zeros(shape, np.float32)
    for field in fields:
        depth = _common(field.reach[2], slab)
        if depth is None:
            continue
        rows = (field.reach[0], field.reach[1], depth)
        matrices = [m[r, c] for m, r, c in zip(weights, rows, field.box, strict=True)]
        values = apply_weights(field.values, matrices)
        origin = (window[0].start, window[1].start, slab.start)
        place = tuple(slice(r.start - o, r.stop - o) for r, o in zip(rows, origin, strict=True))
        total[place] += values
        stronger = values > strongest[place]
        labels[place][stronger] = field.label
        strongest[place][stronger] = values[stronger]
    labels[total < 0.5] = 0
    result[window[0], window[1], slab] = labels
