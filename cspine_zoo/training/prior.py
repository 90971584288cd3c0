"""How often fractures are: in training half of what is shown is fractured, among patients not."""

from __future__ import annotations

import math
from typing import Final

import torch

from cspine_zoo.models.heads import last_bias
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.rsna.prevalence import TRAINING_PREVALENCE
from cspine_zoo.training.recipes import ClassWeights

_LEVELS = TRAINING_PREVALENCE[:-1]
PREVALENCE: Final = sum(_LEVELS) / len(_LEVELS)
"""Share of fractured vertebrae in RSNA 2022's training studies, 10.2 %."""

PATIENT_PREVALENCE: Final = TRAINING_PREVALENCE[-1]

_NEAR_CERTAIN: Final = 1e-3
"""Shares of a handful of samples may be 0 or 1, whose odds are no number."""


def shift_prior(
    network: SliceClassifier, share: float, patient_share: float, weights: ClassWeights
) -> None:
    """Move the biases of a network's heads from the odds of a fracture in training to patients'.

    The weights of a vertebra's slices sum to 1, so its logit moves by the same amount.

    Args:
        network: changed in place.
        share: of the vertebrae in training that were fractured.
        patient_share: of the patients.
        weights: of the classes in the loss.
    """
    factor = weights.fractured / weights.whole
    with torch.no_grad():
        last_bias(network.head).add_(_shift(PREVALENCE, share, factor))
        if isinstance(network, SpineClassifier) and network.patient_head is not None:
            shift = _shift(PATIENT_PREVALENCE, patient_share, factor)
            last_bias(network.patient_head).add_(shift)


def _shift(prevalence: float, share: float, factor: float) -> float:
    share = min(max(share, _NEAR_CERTAIN), 1 - _NEAR_CERTAIN)
    return math.log(prevalence / (1 - prevalence)) - math.log(factor * share / (1 - share))
