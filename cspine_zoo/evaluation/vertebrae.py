"""Predicted vertebrae against true ones: overlap, names, distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.anatomy import LABEL_OF, LEVELS, THORACIC
from cspine_zoo.ct.geometry import Geometry

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


@dataclass(frozen=True, eq=False)
class TrueVertebrae:
    """What the true label map says of each level in view."""

    centroids_mm: Mapping[str, NDArray[np.float64]]
    visible_fraction: Mapping[str, float]


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
    known = true_vertebrae(truth, geometry)
    scores = {}
    for level, centroid in known.centroids_mm.items():
        label = LABEL_OF[level]
        overlap = 2 * counts[label, label] / (counts[label].sum() + counts[:, label].sum())
        identified, error = None, None
        if known.visible_fraction[level] >= LEAST_VISIBLE:
            identified = level in centroids_mm and _own_is_nearest(
                level, np.asarray(centroids_mm[level]), known.centroids_mm
            )
            if level in centroids_mm:
                error = float(np.linalg.norm(np.asarray(centroids_mm[level]) - centroid))
        scores[level] = VertebraScore(float(overlap), identified, error)
    return scores


def true_vertebrae(labels: NDArray[np.uint8], geometry: Geometry) -> TrueVertebrae:
    """Centroid and visible share of each level of C1 to C7 in a label map.

    A mask that touches the edge of the scan is measured against the mean of its nearest levels
    that are whole; with none to compare it counts as whole.
    """
    boxes = ndimage.find_objects(labels, max_label=len(LEVELS))
    centroids, volumes, cut = {}, {}, {}
    for level, box in zip(LEVELS, boxes, strict=True):
        if box is None:
            continue
        voxels = np.argwhere(labels[box] == LABEL_OF[level]) + [side.start for side in box]
        centroids[level] = geometry.to_world(voxels.mean(axis=0))
        volumes[level] = len(voxels)
        cut[level] = any(
            side.start == 0 or side.stop == size
            for side, size in zip(box, geometry.shape, strict=True)
        )
    visible = {level: _visible(level, volumes, cut) for level in volumes}
    return TrueVertebrae(centroids, visible)


def _visible(level: str, volumes: Mapping[str, int], cut: Mapping[str, bool]) -> float:
    whole = [other for other in volumes if not cut[other]]
    if not cut[level] or not whole:
        return 1.0
    steps = {other: abs(LABEL_OF[other] - LABEL_OF[level]) for other in whole}
    nearest = [volumes[other] for other in whole if steps[other] == min(steps.values())]
    return min(volumes[level] / (sum(nearest) / len(nearest)), 1.0)


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
