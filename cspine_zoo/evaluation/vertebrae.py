"""Predicted vertebrae against true ones: overlap, names, distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.anatomy import LABEL_OF, THORACIC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.inference.extent import level_extents
from cspine_zoo.results import LabelMap

IDENTIFIED_WITHIN_MM: Final = 20.0
"""VerSe: Sekuboyina et al. 2021, doi 10.1016/j.media.2021.102166, section 3.3."""

LEAST_VISIBLE: Final = 0.5
"""Share of a vertebra that must be in view for its name to be asked for."""

_N_LABELS: Final = THORACIC + 1


@dataclass(frozen=True)
class VertebraScore:
    """One level that the truth shows.

    Attributes:
        dice: overlap of predicted and true mask; 0 where nothing was predicted.
        identified: whether the predicted centroid's nearest true centroid is its own and lies
            within 20 mm; None for a vertebra less than half visible.
        centroid_error_mm: distance to the true centroid; None where no centroid was predicted or
            the vertebra is less than half visible.
    """

    dice: float
    identified: bool | None
    centroid_error_mm: float | None


def score_vertebrae(
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    geometry: Geometry,
    centroids_mm: Mapping[str, tuple[float, float, float]],
) -> dict[str, VertebraScore]:
    """Score every level of C1 to C7 that has voxels in ``truth``.

    Args:
        predicted: label map on ``geometry``.
        truth: label map on ``geometry``.
        geometry: the shared grid.
        centroids_mm: predicted centroids by level; levels not found are left out.
    """
    counts = _joint_counts(truth, predicted)
    extents = {extent.level: extent for extent in level_extents(LabelMap(truth, geometry))}
    centroids = {
        level: np.asarray(extent.centroid_mm)
        for level, extent in extents.items()
        if extent.centroid_mm is not None
    }
    scores = {}
    for level, label in LABEL_OF.items():
        if not counts[label].any():
            continue
        overlap = 2 * counts[label, label] / (counts[label].sum() + counts[:, label].sum())
        identified, error = None, None
        if level in centroids and extents[level].visible_fraction >= LEAST_VISIBLE:
            identified = level in centroids_mm and _own_is_nearest(
                level, np.asarray(centroids_mm[level]), centroids
            )
            if level in centroids_mm:
                distance = np.asarray(centroids_mm[level]) - centroids[level]
                error = float(np.linalg.norm(distance))
        scores[level] = VertebraScore(float(overlap), identified, error)
    return scores


def _own_is_nearest(
    level: str, predicted: NDArray[np.float64], truth: Mapping[str, NDArray[np.float64]]
) -> bool:
    distances = {other: np.linalg.norm(predicted - centroid) for other, centroid in truth.items()}
    own = distances[level]
    return bool(own <= IDENTIFIED_WITHIN_MM and own <= min(distances.values()))


def _joint_counts(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Voxels of each pair (true label, predicted label)."""
    counts = np.zeros(_N_LABELS * _N_LABELS, np.int64)
    for k in range(truth.shape[2]):  # slice by slice: bincount widens its input to 8 bytes
        pairs = truth[:, :, k].astype(np.intp) * _N_LABELS + predicted[:, :, k]
        counts += np.bincount(pairs.ravel(), minlength=len(counts))
    return counts.reshape(_N_LABELS, _N_LABELS)
