"""What the classifiers return."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ClassifierOutput:
    """Scores of a batch of vertebrae before calibration.

    Attributes:
        logit: (N,) fracture logit of each vertebra.
        slice_logits: (N, S) logit of each slice on its own; the vertebra's logit is their
            weighted mean.
        slice_weights: (N, S) share of each slice in the vertebra's logit; sums to 1.
    """

    logit: Tensor
    slice_logits: Tensor
    slice_weights: Tensor
