"""Losses of the classifiers' heads, with the challenge's weights."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from cspine_zoo.training.recipes import ClassWeights

_LEAST_LOG: Final = -1e-6
"""Bound on the log of "no level is fractured", beyond which float32 cannot tell its rest from 0."""


def vertebra_loss(logits: Tensor, truth: Tensor, weights: ClassWeights) -> Tensor:
    """Weighted mean of the cross entropy of vertebrae.

    Args:
        logits: (B,).
        truth: (B,), 0 to 1.
        weights: of the two classes.
    """
    weight = _weight(truth, weights.fractured, weights.whole)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (weight * entropy).sum() / weight.sum()


def study_loss(logits: Tensor, truth: Tensor, studies: Tensor, weights: ClassWeights) -> Tensor:
    """The challenge's metric: mean over studies of the weighted mean over their eight answers.

    The patient's probability is that of any fracture, 1 - prod(1 - p).

    Args:
        logits: (R,) of vertebrae.
        truth: (R,) 0 or 1.
        studies: int (R,), number of the study that each is of, from 0 without gaps.
        weights: of the classes.
    """
    count = int(studies.max()) + 1
    zeros = torch.zeros(count, device=logits.device)
    weight = _weight(truth, weights.fractured, weights.whole)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    log_whole = zeros.index_add(0, studies, functional.logsigmoid(-logits)).clamp(max=_LEAST_LOG)
    patient = (zeros.index_add(0, studies, truth) > 0).float()
    of_patient = torch.where(patient > 0.5, -torch.log(-torch.expm1(log_whole)), -log_whole)
    patient_weight = _weight(patient, weights.patient_fractured, weights.patient_whole)
    total = zeros.index_add(0, studies, weight * entropy) + patient_weight * of_patient
    return (total / (zeros.index_add(0, studies, weight) + patient_weight)).mean()


def slice_loss(logits: Tensor, truth: Tensor, known: Tensor, weights: ClassWeights) -> Tensor:
    """Weighted mean of the cross entropy of slices.

    Args:
        logits: (B, S).
        truth: (B, S), 1 where a slice shows a fracture.
        known: (B, S), 1 where that is known: the others are left out.
        weights: of the two classes.
    """
    weight = known * _weight(truth, weights.fractured, weights.whole)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (weight * entropy).sum() / weight.sum().clamp(min=1)


def _weight(truth: Tensor, fractured: float, whole: float) -> Tensor:
    return truth * fractured + (1 - truth) * whole
