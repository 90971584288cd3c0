"""Temperature and operating points of a classifier, from studies it was not trained on."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.bootstrap import FloatArray

_LOG_TEMPERATURE: Final = (-4.0, 4.0)  # 0.02 to 55: beyond it, the logits say nothing
_CLIP: Final = 1e-7


def logits_of(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Raw logits from probabilities that were calibrated with ``temperature``."""
    p = np.clip(probabilities, _CLIP, 1 - _CLIP)
    logits: FloatArray = np.log(p / (1 - p)) * temperature
    return logits


def probabilities_of(logits: FloatArray, temperature: float) -> FloatArray:
    """Calibrated probabilities, ``sigmoid(logit / temperature)``."""
    p: FloatArray = 0.5 * (1 + np.tanh(0.5 * logits / temperature))  # never overflows
    return p


def fit_temperature(logits: FloatArray, labels: NDArray[np.int64]) -> float:
    """The temperature whose ``sigmoid(logit / temperature)`` has the least log loss.

    Args:
        logits: (N,), raw.
        labels: (N,), 0 or 1, both present.

    Raises:
        UsageError: only one class is there.

    References:
        Guo et al. 2017, arXiv 1706.04599, section 4.2.
    """
    _require_both(labels)
    signed = np.where(labels == 1, 1.0, -1.0) * logits

    def log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    found = minimize_scalar(log_loss, bounds=_LOG_TEMPERATURE, method="bounded")
    return float(np.exp(found.x))


def choose_threshold(probabilities: FloatArray, labels: NDArray[np.int64]) -> float:
    """The operating point with the largest sensitivity + specificity - 1 (Youden's J).

    J weighs both errors alike and does not depend on how many are fractured, so that a point
    chosen on enriched data holds elsewhere; the largest F1 would not. It lies halfway between two
    observed probabilities; of several equally good ones, the highest raises the fewest alarms.

    Args:
        probabilities: (N,); an item is called positive at or above the threshold.
        labels: (N,), 0 or 1, both present.

    Raises:
        UsageError: only one class is there.

    References:
        Youden 1950, doi 10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.
    """
    _require_both(labels)
    levels = np.unique(probabilities)
    thresholds = np.r_[levels[0], (levels[1:] + levels[:-1]) / 2]
    positives = np.sort(probabilities[labels == 1])
    negatives = np.sort(probabilities[labels == 0])
    sensitivity = 1 - np.searchsorted(positives, thresholds) / len(positives)
    specificity = np.searchsorted(negatives, thresholds) / len(negatives)
    informedness = sensitivity + specificity
    best = np.flatnonzero(np.isclose(informedness, informedness.max()))[-1]
    return float(thresholds[best])


def _require_both(labels: NDArray[np.int64]) -> None:
    if len(np.unique(labels)) < 2:
        raise UsageError(
            "one_class", "Calibration needs fractured and whole items, and found only one kind."
        )
