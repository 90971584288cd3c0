"""Which place of the neck a result points at."""

from __future__ import annotations

from typing import Final

import numpy as np

import cspine_zoo as cz
from plane import Box

# From the centroid of the outermost vertebra, along x, y and z: half the widest level and the
# soft tissue beside it; spinous processes behind; the skull base above and T1 below.
_MARGIN_MM: Final = (60.0, 55.0, 35.0)


def most_suspicious(comparison: cz.Comparison) -> str:
    """The level with the highest probability of any variant."""
    return max(cz.LEVELS, key=lambda level: max(p or 0.0 for p in comparison.probabilities(level)))


def boldest(comparison: cz.Comparison, level: str) -> str:
    """The variant that gives a level its highest probability."""
    values = comparison.probabilities(level)
    return max(zip(comparison.models(), values, strict=True), key=lambda pair: pair[1] or 0.0)[0]


def level_of(comparison: cz.Comparison, row: str, model: str) -> str:
    """The level that a row of the picture leads to; patient overall leads to the highest one."""
    if row in cz.LEVELS:
        return row
    index = comparison.models().index(model)
    return max(cz.LEVELS, key=lambda level: comparison.probabilities(level)[index] or 0.0)


def strongest_point(
    comparison: cz.Comparison, row: str, model: str
) -> tuple[float, float, float] | None:
    """World point on the slice that counts most for one variant, over the vertebra's centre."""
    index = comparison.models().index(model)
    vertebra = comparison.predictions[index].vertebra(level_of(comparison, row, model))
    if vertebra.centroid_mm is None:
        return None
    x, y, z = vertebra.centroid_mm
    scores = [s for s in vertebra.slices if (s.weight or s.probability) is not None]
    if scores:
        strongest = max(scores, key=lambda s: (s.weight or 0.0) * (s.probability or 1.0))
        z = strongest.position_mm
    return x, y, z


def peak_mm(found: cz.SensitivityMap) -> tuple[float, float, float] | None:
    """World point at which a map is highest; None if it is empty."""
    if not found.values.any():
        return None
    place, row, column = np.unravel_index(int(found.values.argmax()), found.values.shape)
    x, y, z = found.geometry.to_world([float(column), float(row), float(place)])
    return float(x), float(y), float(z)


def neck_box(comparison: cz.Comparison, geometry: cz.Geometry) -> Box | None:
    """The part of the study around the vertebrae that were found; None if there are none."""
    found = [v.centroid_mm for v in comparison.predictions[0].vertebrae if v.centroid_mm]
    if not found:
        return None
    corners = np.array([np.min(found, axis=0), np.max(found, axis=0)])
    corners += np.outer((-1, 1), _MARGIN_MM)
    voxels = geometry.to_voxel(corners)
    low = np.clip(np.floor(voxels.min(axis=0)), 0, np.array(geometry.shape) - 1).astype(int)
    high = np.clip(np.ceil(voxels.max(axis=0)) + 1, low + 1, geometry.shape).astype(int)
    i, j, k = ((int(first), int(behind)) for first, behind in zip(low, high, strict=True))
    return i, j, k
