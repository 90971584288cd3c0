"""All that a report of an evaluation is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from cspine_zoo.evaluation.report import ModelRecords
from cspine_zoo.evaluation.scores import Scores, collect
from cspine_zoo.evaluation.worst import Mistake, worst_studies
from cspine_zoo.rsna.layout import StudyRow


@dataclass(frozen=True, eq=False)
class Evaluated:
    """All that a report is made from.

    Attributes:
        rows: the studies.
        models: records and thresholds of each model.
        result: the object of ``evaluation.json``.
        pairs: what ``compare_models`` returned.
    """

    rows: Sequence[StudyRow]
    models: Mapping[str, ModelRecords]
    result: Mapping[str, Any]
    pairs: Sequence[Mapping[str, Any]] = ()

    @property
    def synthetic(self) -> bool:
        """Whether every study is marked as made up."""
        return all(row.synthetic is not None for row in self.rows)

    def scores(self) -> dict[str, Scores]:
        """Probabilities and labels by model."""
        return {
            name: collect(
                self.rows, known.records, (known.patient_threshold, known.vertebra_threshold)
            )
            for name, known in self.models.items()
        }

    def worst(self) -> tuple[Mistake, ...]:
        """The studies that a report shows."""
        return worst_studies(self.scores())


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each path, where that tells them apart."""
    short = {name: PurePath(name).name.removesuffix(".safetensors") or name for name in names}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}
