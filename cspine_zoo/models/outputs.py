"""What the classifiers return."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ClassifierOutput:
    """Scores of a batch of vertebrae, or of spines with L vertebrae each, before calibration.

    Attributes:
        logit: (N,) fracture logit of each vertebra; (N, L) of a spine's.
        slice_logits: (N, S) or (N, L, S), what the vertebra's logit would be if all weight lay on
            this slice.
        slice_weights: (N, S) or (N, L, S), share of each slice in the vertebra's logit; sums to 1.
        patient_logit: (N,) logit of any fracture in a spine, from a head of its own, if it has
            one.

    Vertebrae that are not there have zeros.
    """

    logit: Tensor
    slice_logits: Tensor
    slice_weights: Tensor
    patient_logit: Tensor | None = None
