"""Two models on the same studies: how far apart, and whether chance would do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.bootstrap import Figure, FloatArray, Measure, Resamples
from cspine_zoo.evaluation.metrics import auc, challenge_log_loss, mean
from cspine_zoo.evaluation.report import ModelRecords
from cspine_zoo.evaluation.scores import Scores, collect
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.split import twin_groups

COMPARED: Final = ("log_loss", "patient_auc", "vertebra_auc")


def compare_models(
    rows: Sequence[StudyRow], models: Mapping[str, ModelRecords]
) -> list[dict[str, Any]]:
    """Every two models, in the order given: ``{"first", "second", **paired_differences(...)}``."""
    resamples = Resamples.draw(twin_groups(rows))
    scores = {
        name: collect(rows, known.records, (known.patient_threshold, known.vertebra_threshold))
        for name, known in models.items()
    }
    return [
        {
            "first": first,
            "second": second,
            **paired_differences(scores[first], scores[second], resamples),
        }
        for first, second in combinations(scores, 2)
    ]


def paired_differences(first: Scores, second: Scores, resamples: Resamples) -> dict[str, Figure]:
    """First minus second, by a paired bootstrap over studies.

    Both models are judged on the same resamples, so that what makes a study hard for both cancels
    out; each model's own interval cannot show that. Log loss is better where it is lower, AUC
    where it is higher. Thresholds play no part.

    Args:
        first: probabilities of one model.
        second: of another, for the same studies in the same order.
        resamples: of these studies.

    Returns:
        For each of ``COMPARED``: ``{"value", "ci95", "n", "p"}``, with a two-sided p that is not
        corrected for how many comparisons are made.

    Raises:
        UsageError: the two are not about the same studies.
    """
    if not np.array_equal(first.labels, second.labels):
        raise UsageError("not_paired", "Two models can be compared on the same studies only.")
    ours, theirs = _measures(first), _measures(second)
    return {name: resamples.difference(_difference(ours[name], theirs[name])) for name in COMPARED}


def _measures(scores: Scores) -> dict[str, Measure]:
    losses = challenge_log_loss(scores.probabilities, scores.labels)
    n = len(losses)
    return {
        "log_loss": mean(losses, np.arange(n), n),
        "patient_auc": auc(scores.patients()),
        "vertebra_auc": auc(scores.vertebrae()),
    }


def _difference(first: Measure, second: Measure) -> Measure:
    def of_weights(weights: FloatArray) -> FloatArray:
        return first.of_weights(weights) - second.of_weights(weights)

    return Measure(first.n, of_weights)
