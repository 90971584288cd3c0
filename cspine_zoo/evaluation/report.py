"""From records and labels to the object of ``evaluate --json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.bootstrap import Figure, Measure, Resamples
from cspine_zoo.evaluation.metrics import (
    Items,
    binary,
    calibration_error,
    challenge_log_loss,
    mean,
    ratio,
)
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.evaluation.scores import collect
from cspine_zoo.evaluation.strata import strata, twin_order
from cspine_zoo.evaluation.vertebrae import VertebraScore
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.split import twin_groups


@dataclass(frozen=True)
class ModelRecords:
    """All that is known of one model on one data set.

    Attributes:
        records: one for each study, in the order of the studies.
        patient_threshold: operating point for the patient.
        vertebra_threshold: operating point for a vertebra.
    """

    records: tuple[StudyRecord, ...]
    patient_threshold: float
    vertebra_threshold: float


def report(rows: Sequence[StudyRow], models: Mapping[str, ModelRecords]) -> dict[str, Any]:
    """Every figure of every model, with study-level bootstrap intervals.

    All models are resampled alike, twins together.
    """
    resamples = Resamples.draw(twin_groups(rows))
    failed = np.zeros(len(rows), dtype=bool)
    figures = {}
    for name, known in models.items():
        thresholds = (known.patient_threshold, known.vertebra_threshold)
        failed |= collect(rows, known.records, thresholds).failed
        figures[name] = _model(rows, known, resamples)
    return {"n_studies": len(rows), "n_missing": int(failed.sum()), "models": figures}


def _model(rows: Sequence[StudyRow], known: ModelRecords, resamples: Resamples) -> dict[str, Any]:
    scores = collect(rows, known.records, (known.patient_threshold, known.vertebra_threshold))
    everyone = np.arange(len(rows))

    def six(items: Items) -> dict[str, Figure]:
        return {name: resamples.figure(measure) for name, measure in binary(items).items()}

    losses = challenge_log_loss(scores.probabilities, scores.labels)
    return {
        "log_loss": resamples.figure(mean(losses, everyone, len(rows))),
        "patient": six(scores.patients()),
        "vertebra": six(scores.vertebrae()),
        "per_level": {level: six(scores.level(level)) for level in LEVELS},
        "ece": resamples.figure(calibration_error(scores.vertebrae())),
        "twin_order": resamples.figure(twin_order(rows, scores)),
        "findings": _findings(known.records, resamples),
        **_segmenter(known.records, resamples),
        "strata": strata(rows, scores, resamples),
    }


def _findings(records: Sequence[StudyRecord], resamples: Resamples) -> dict[str, Figure]:
    """Recall over all fractures in view; false findings a study. Null for models without any."""
    can_find = any(record.can_find for record in records)
    judged = [
        (i, record.findings)
        for i, record in enumerate(records)
        if can_find and record.prediction is not None and record.findings is not None
    ]
    study = np.array([i for i, _ in judged], dtype=np.intp)

    def counts(count: Callable[[Any], int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([count(score) for _, score in judged], dtype=np.float64)

    n = len(records)
    recall = ratio(counts(lambda s: s.recalled), counts(lambda s: s.fractures), study, n)
    false = mean(counts(lambda s: s.false), study, n)
    return {"recall": resamples.figure(recall), "false_per_study": resamples.figure(false)}


def _segmenter(records: Sequence[StudyRecord], resamples: Resamples) -> dict[str, Any]:
    """Overlap, names and distances of vertebrae, over the studies with a label map."""
    found = [
        (i, level, score)
        for i, record in enumerate(records)
        for level, score in (record.vertebrae or {}).items()
    ]

    def mean_of(
        value: Callable[[VertebraScore], float | None], only: Callable[[str], bool]
    ) -> Measure:
        pairs = [(i, value(score)) for i, level, score in found if only(level)]
        known = [(i, v) for i, v in pairs if v is not None]
        study = np.array([i for i, _ in known], dtype=np.intp)
        values = np.array([v for _, v in known], dtype=np.float64)
        return mean(values, study, len(records))

    def named(score: VertebraScore) -> float | None:
        return None if score.identified is None else float(score.identified)

    def any_level(_: str) -> bool:
        return True

    return {
        "dice": {
            level: resamples.figure(mean_of(lambda score: score.dice, level.__eq__))
            for level in LEVELS
        },
        "identification_rate": resamples.figure(mean_of(named, any_level)),
        "centroid_error_mm": resamples.figure(
            mean_of(lambda score: score.centroid_error_mm, any_level)
        ),
    }
