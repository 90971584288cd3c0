"""Probabilities and labels of all studies side by side; what is missing gets the prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.evaluation.bootstrap import FloatArray
from cspine_zoo.evaluation.metrics import Items
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.prevalence import TRAINING_PREVALENCE

COLUMNS: Final = (*LEVELS, PATIENT_OVERALL)
_OVERALL: Final = len(LEVELS)


@dataclass(frozen=True, eq=False)
class Scores:
    """One model's probabilities for all studies, with the truth.

    Attributes:
        probabilities: (N, 8) in the order of ``COLUMNS``; what is missing holds the prevalence.
        labels: (N, 8), 0 or 1.
        thresholds: (8,), the model's operating points.
        missing: (N, 8), True where the model gave no probability.
    """

    probabilities: FloatArray
    labels: NDArray[np.int64]
    thresholds: FloatArray
    missing: NDArray[np.bool_]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(N,): studies without a patient probability."""
        return self.missing[:, _OVERALL]

    def patients(self) -> Items:
        """One item a study."""
        return self._items(slice(_OVERALL, None))

    def level(self, name: str) -> Items:
        """One item a study: the vertebra of that name."""
        at = LEVELS.index(name)
        return self._items(slice(at, at + 1))

    def vertebrae(self) -> Items:
        """Seven items a study."""
        return self._items(slice(0, _OVERALL))

    def _items(self, columns: slice) -> Items:
        probabilities = self.probabilities[:, columns]
        n_studies, width = probabilities.shape
        return Items(
            probabilities=probabilities.ravel(),
            labels=self.labels[:, columns].ravel(),
            thresholds=np.tile(self.thresholds[columns], n_studies),
            study=np.repeat(np.arange(n_studies), width),
            n_studies=n_studies,
        )


def collect(
    rows: Sequence[StudyRow], records: Sequence[StudyRecord], thresholds: tuple[float, float]
) -> Scores:
    """Put records and labels of the same studies into arrays.

    Args:
        rows: studies of the layout.
        records: one for each row, in the same order.
        thresholds: the model's operating points for a patient and for a vertebra.
    """
    raw = np.array(
        [
            [*(record.probability(level) for level in LEVELS), record.patient_overall]
            for record in records
        ],
        dtype=np.float64,  # None becomes NaN
    ).reshape(len(records), len(COLUMNS))
    patient, vertebra = thresholds
    return Scores(
        probabilities=np.where(np.isnan(raw), np.asarray(TRAINING_PREVALENCE), raw),
        labels=np.array(
            [[*row.levels, row.patient_overall] for row in rows], dtype=np.int64
        ).reshape(len(rows), len(COLUMNS)),
        thresholds=np.array([vertebra] * _OVERALL + [patient]),
        missing=np.isnan(raw),
    )
