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

LEAST_SPECIFICITY: Final = 0.9
"""Of an operating point: the share of whole patients in whom nothing is called."""


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
    if len(np.unique(labels)) < 2:
        raise _one_class()
    signed = np.where(labels == 1, 1.0, -1.0) * logits

    def log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    found = minimize_scalar(log_loss, bounds=_LOG_TEMPERATURE, method="bounded")
    return float(np.exp(found.x))


def choose_threshold(broken: FloatArray, whole: FloatArray) -> float:
    """The most sensitive operating point at which nine of ten whole patients are not called.

    It serves the patient's own probability, and those of vertebrae with the highest of each whole
    patient in ``whole``: a patient has seven, and a point that nine of ten whole vertebrae stay
    below calls one in nearly every second whole patient. Neither sensitivity nor specificity
    depends on how many are fractured, so that a point chosen on enriched data holds elsewhere; the
    largest F1 would not. It lies halfway between two observed probabilities, or between the
    largest and 1; of several equally good ones, the highest raises the fewest alarms.

    Args:
        broken: (N,) probabilities of what is fractured; called at or above the threshold.
        whole: (M,) the highest probability in each whole patient.

    Raises:
        UsageError: one of them is empty, or so many whole patients have a probability of 1 that
            no threshold reaches the specificity.
    """
    if not len(broken) or not len(whole):
        raise _one_class()
    levels = np.unique(np.concatenate((broken, whole)))
    thresholds = (levels + np.r_[levels[1:], 1.0]) / 2
    specificity = np.searchsorted(np.sort(whole), thresholds) / len(whole)
    specific = thresholds[specificity >= LEAST_SPECIFICITY]
    if not len(specific):
        raise UsageError(
            "saturated", "Whole patients have a probability of 1: no threshold leaves 90 % of them."
        )
    missed = np.searchsorted(np.sort(broken), specific)
    return float(specific[missed == missed.min()][-1])


def _one_class() -> UsageError:
    return UsageError(
        "one_class", "Calibration needs fractured and whole patients, and found only one kind."
    )
