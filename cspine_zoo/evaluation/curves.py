"""What a chart of one model shows: curves, bins and counts, at the value itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.evaluation.bootstrap import Figure, FloatArray, Resamples
from cspine_zoo.evaluation.metrics import ECE_BINS, Items, ece_bins, ratio


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve, from the highest threshold down.

    Attributes:
        x: false positive rate of a ROC curve, recall of a precision-recall curve.
        y: true positive rate; precision.
        thresholds: at or above which an item is called positive; infinite where none is.
    """

    x: FloatArray
    y: FloatArray
    thresholds: FloatArray


def roc(items: Items) -> Curve | None:
    """From (0, 0) to (1, 1), one point for each distinct probability; None for one class."""
    hits, false, thresholds = _called(items)
    if not len(hits) or not hits[-1] or not false[-1]:
        return None
    return Curve(np.r_[0, false / false[-1]], np.r_[0, hits / hits[-1]], np.r_[np.inf, thresholds])


def precision_recall(items: Items) -> Curve | None:
    """From recall 0, where precision is 1 by convention, to recall 1; None without a fracture."""
    hits, false, thresholds = _called(items)
    if not len(hits) or not hits[-1]:
        return None
    return Curve(
        np.r_[0, hits / hits[-1]], np.r_[1, hits / (hits + false)], np.r_[np.inf, thresholds]
    )


def _called(items: Items) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fractured and whole items at or above each distinct probability, from the highest down."""
    thresholds, at = np.unique(items.probabilities, return_inverse=True)
    fractured = np.bincount(at, weights=items.labels, minlength=len(thresholds))
    whole = np.bincount(at, weights=1 - items.labels, minlength=len(thresholds))
    hits: FloatArray = np.cumsum(fractured[::-1])
    false: FloatArray = np.cumsum(whole[::-1])
    return hits, false, thresholds[::-1]


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of the expected calibration error.

    Attributes:
        low: lower end of its probabilities.
        high: upper end.
        probability: their mean.
        fractured: the share that is fractured, as ``{"value", "ci95", "n"}``.
    """

    low: float
    high: float
    probability: float
    fractured: Figure


def reliability(items: Items, resamples: Resamples) -> tuple[ReliabilityBin, ...]:
    """The bins of ``calibration_error`` that hold anything, from the lowest up."""
    bins = ece_bins(items.probabilities)
    found = []
    for at in np.unique(bins):
        own = items.subset(bins == at)
        share = ratio(
            own.labels.astype(np.float64), np.ones(len(own.labels)), own.study, own.n_studies
        )
        found.append(
            ReliabilityBin(
                low=float(at / ECE_BINS),
                high=float((at + 1) / ECE_BINS),
                probability=float(own.probabilities.mean()),
                fractured=resamples.figure(share),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Confusion:
    """Items by truth and call, at their thresholds."""

    hits: int
    missed: int
    false_alarms: int
    rejected: int

    @property
    def fractured(self) -> int:
        """Items with a fracture."""
        return self.hits + self.missed

    @property
    def whole(self) -> int:
        """Items without one."""
        return self.false_alarms + self.rejected


def confusion(items: Items) -> Confusion:
    """Count hits, misses, false alarms and correct rejections."""
    called: NDArray[np.bool_] = items.probabilities >= items.thresholds
    fractured = items.labels == 1
    return Confusion(
        hits=int((called & fractured).sum()),
        missed=int((~called & fractured).sum()),
        false_alarms=int((called & ~fractured).sum()),
        rejected=int((~called & ~fractured).sum()),
    )
