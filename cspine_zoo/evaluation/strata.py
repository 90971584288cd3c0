"""Twins, and the same figures within halves of the data: which fractures, slices and noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.evaluation.bootstrap import Measure, Resamples, constant
from cspine_zoo.evaluation.metrics import Items, binary, mean
from cspine_zoo.evaluation.scores import Scores
from cspine_zoo.rsna.layout import StudyRow, SyntheticFacts

_FACTS: Final[dict[str, Callable[[SyntheticFacts], float | None]]] = {
    "conspicuity": lambda facts: facts.conspicuity,
    "thickness": lambda facts: facts.thickness_mm,
    "noise": lambda facts: facts.noise_hu,
    "field": lambda facts: facts.field_mm,
    "displacement": lambda facts: facts.displacement_mm,
}
_OF_FRACTURES: Final = frozenset({"conspicuity", "displacement"})


def twin_order(rows: Sequence[StudyRow], scores: Scores) -> Measure:
    """Share of twin pairs whose fractured vertebra scores higher than the same one whole.

    A pair with several fractured vertebrae counts as the share of them. A tie is not higher.
    """
    index = {row.uid: i for i, row in enumerate(rows)}
    pairs = {
        frozenset((i, index[row.twin_of]))
        for i, row in enumerate(rows)
        if row.twin_of in index and index[row.twin_of] != i
    }
    values, study = [], []
    for first, second in sorted(tuple(sorted(pair)) for pair in pairs):
        higher = []
        for fractured, whole in ((first, second), (second, first)):
            differ = (scores.labels[fractured, :-1] == 1) & (scores.labels[whole, :-1] == 0)
            p, twin = scores.probabilities[fractured, :-1], scores.probabilities[whole, :-1]
            higher.extend((p > twin)[differ].tolist())
        if higher:
            values.append(float(np.mean(higher)))
            study.append(first)
    return mean(np.asarray(values), np.asarray(study, dtype=np.intp), len(rows))


def strata(rows: Sequence[StudyRow], scores: Scores, resamples: Resamples) -> dict[str, Any]:
    """The six figures of patients and vertebrae in the lower and upper half of each fact.

    The halves are cut at the median over the studies that state the fact, which is given too.
    Whole studies have no conspicuity and no displacement: all of them stand against either half
    of the fractured.
    """
    report: dict[str, Any] = {}
    for name, fact in _FACTS.items():
        stated = [fact(row.synthetic) if row.synthetic else None for row in rows]
        values = np.array(stated, dtype=np.float64)
        known = np.isfinite(values)
        if name in _OF_FRACTURES:
            known &= scores.labels[:, -1] == 1
        if not known.any():
            continue
        median = float(np.median(values[known]))
        either = (scores.labels[:, -1] == 0) & (name in _OF_FRACTURES)
        low, high = known & (values <= median), known & (values > median)
        report[name] = {
            "median": constant(median, int(known.sum())),
            "low": _half(scores, low | either, resamples),
            "high": _half(scores, high | either, resamples),
        }
    return report


def _half(scores: Scores, keep: NDArray[np.bool_], resamples: Resamples) -> dict[str, Any]:
    def figures(items: Items) -> dict[str, Any]:
        chosen = items.subset(keep[items.study])
        return {name: resamples.figure(m) for name, m in binary(chosen).items()}

    return {"patient": figures(scores.patients()), "vertebra": figures(scores.vertebrae())}
