"""Evaluations that come with the package: one file beside each bundled classifier's weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.errors import ManifestError, UsageError, WeightsError
from cspine_zoo.evaluation.bootstrap import Figure, Resamples
from cspine_zoo.evaluation.curves import (
    Confusion,
    Curve,
    ReliabilityBin,
    confusion,
    reliability,
    roc,
)
from cspine_zoo.evaluation.metrics import Items
from cspine_zoo.evaluation.outcomes import Answers, Outcomes, Probabilities, StudyFacts
from cspine_zoo.evaluation.paired import paired_differences
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.evaluation.scores import Scores, collect
from cspine_zoo.fields import build, parse_json, unbuild
from cspine_zoo.resources import weights_dir
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.split import twin_groups
from cspine_zoo.zoo.manifest import ManifestEntry, OperatingPoint, read_manifest


@dataclass(frozen=True)
class StoredRecord:
    """The file: what was evaluated, on what, by which command, and every answer.

    Raises:
        ValueError: there are not as many answers as studies.
    """

    name: str
    weights_sha256: str
    dataset: str
    command: str
    studies: tuple[StudyFacts, ...]
    probabilities: tuple[Probabilities, ...]

    def __post_init__(self) -> None:
        if len(self.studies) != len(self.probabilities):
            raise ValueError(
                f"{len(self.studies)} studies have {len(self.probabilities)} rows of probabilities"
            )
        Answers(self.weights_sha256, self.probabilities)  # refuses what is no probability


@dataclass(frozen=True)
class StoredEvaluation:
    """A bundled classifier on the studies that it was evaluated on, study by study.

    All figures are computed from the stored probabilities by the functions that
    ``cspine-zoo evaluate`` uses.

    Attributes:
        record: what is stored.
        thresholds: the row's operating point.
    """

    record: StoredRecord
    thresholds: OperatingPoint

    @property
    def name(self) -> str:
        """The classifier."""
        return self.record.name

    @property
    def studies(self) -> tuple[StudyFacts, ...]:
        """What is known of each study."""
        return self.record.studies

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The model's object of ``evaluate --json``; what needs images is undefined."""
        point = self.thresholds
        known = ModelRecords(self._answers.records(), point.patient, point.vertebra)
        figures: dict[str, Any] = report(self._rows, {self.name: known})["models"][self.name]
        return figures

    def roc(self, of: str) -> Curve | None:
        """ROC curve; None where only one class is there.

        Args:
            of: ``"patient"``, ``"vertebra"`` for all levels pooled, or a level.

        Raises:
            UsageError: there is no such unit.
        """
        return roc(self._items(of))

    def confusion(self, of: str) -> Confusion:
        """Hits, misses, false alarms and rejections at the row's thresholds; ``of`` as in ``roc``.

        Raises:
            UsageError: there is no such unit.
        """
        return confusion(self._items(of))

    @cached_property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """How often vertebrae of each bin of probability are fractured."""
        return reliability(self._items("vertebra"), self._resamples)

    def differences(self, other: StoredEvaluation) -> dict[str, Figure]:
        """This one minus the other by a paired bootstrap over studies, twins together.

        Returns:
            ``log_loss``, ``patient_auc`` and ``vertebra_auc``, each ``{"value", "ci95", "n",
            "p"}``.

        Raises:
            UsageError: the two were evaluated on different studies.
        """
        if self.studies != other.studies:
            raise UsageError(
                "not_paired",
                f"{self.name} and {other.name} were evaluated on different studies.",
                hint="Evaluate both with one cspine-zoo evaluate, and bundle them again.",
            )
        return paired_differences(self._scores, other._scores, self._resamples)

    @cached_property
    def _answers(self) -> Answers:
        return Answers(self.record.weights_sha256, self.record.probabilities)

    @cached_property
    def _rows(self) -> tuple[StudyRow, ...]:
        return tuple(study.row() for study in self.studies)

    @cached_property
    def _scores(self) -> Scores:
        point = self.thresholds
        return collect(self._rows, self._answers.records(), (point.patient, point.vertebra))

    @cached_property
    def _resamples(self) -> Resamples:
        return Resamples.draw(twin_groups(self._rows))

    def _items(self, of: str) -> Items:
        if of == "patient":
            return self._scores.patients()
        if of == "vertebra":
            return self._scores.vertebrae()
        if of in LEVELS:
            return self._scores.level(of)
        known = ", ".join(("patient", "vertebra", *LEVELS))
        raise UsageError("unknown_unit", f"There is no {of!r}.", hint=f"Known: {known}.")


def stored_evaluation(name: str) -> StoredEvaluation | None:
    """The evaluation that comes with a bundled classifier, or None.

    Raises:
        UsageError: there is no such model.
        ManifestError: the manifest or the stored file is not what it should be.
        WeightsError: the file is of other weights than the manifest's.
    """
    return find_stored(read_manifest()[name], weights_dir())


def find_stored(entry: ManifestEntry, weights: Path) -> StoredEvaluation | None:
    """The evaluation of a row in a directory of bundled weights, or None.

    Raises:
        ManifestError: the file is not what it should be.
        WeightsError: it is of other weights than the row's.
    """
    if entry.operating_point is None or not entry.files:
        return None
    record = read_stored(stored_path(entry.name, weights))
    if record is None:
        return None
    if record.weights_sha256 != entry.files[0].sha256:
        raise WeightsError(
            "evaluation_of_other_weights",
            f"The stored evaluation of {entry.name} is of other weights than the manifest's.",
            file=stored_path(entry.name, weights).name,
            hint="Run cspine-zoo evaluate with these weights, then bundle --evaluation.",
        )
    return StoredEvaluation(record, entry.operating_point)


def stored_path(name: str, weights: Path) -> Path:
    """Where the evaluation of a row is kept in a directory of bundled weights."""
    return weights / f"{name}.evaluation.json"


def read_stored(path: Path) -> StoredRecord | None:
    """The file's content; None if it is not there.

    Raises:
        ManifestError: the file is not what it should be.
    """
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("unreadable", f"{path.name}: {error}.", file=str(path)) from error
    return build(StoredRecord, parse_json(text, path.name), path.name)


def record_of(
    entry: ManifestEntry, outcomes: Outcomes, classifier: str, weights_sha256: str
) -> StoredRecord | None:
    """What the package keeps of an evaluation; None of real studies, which stay where they are.

    Args:
        entry: the row, with the figures of this evaluation.
        outcomes: of ``evaluate``.
        classifier: which of its models to keep.
        weights_sha256: of the file that is bundled.

    Raises:
        UsageError: the evaluation is of other models (``not_evaluated``) or of other weights
            (``evaluation_of_other_weights``).
    """
    answers = outcomes.models.get(classifier)
    if answers is None or not entry.metrics:
        raise UsageError(
            "not_evaluated",
            f"the evaluation is of {', '.join(outcomes.models) or 'no model'}.",
            file=classifier,
            hint="Run cspine-zoo evaluate with this model first.",
        )
    if answers.weights_sha256 != weights_sha256:
        raise UsageError(
            "evaluation_of_other_weights",
            f"the evaluation ran sha256 {answers.weights_sha256[:12] or 'unknown'}, "
            f"this file is {weights_sha256[:12]}.",
            file=classifier,
            hint="Run cspine-zoo evaluate with the file that is to be bundled.",
        )
    if not outcomes.synthetic:
        return None
    told = entry.metrics[0]
    return StoredRecord(
        name=entry.name,
        weights_sha256=weights_sha256,
        dataset=told.dataset,
        command=told.command,
        studies=outcomes.studies,
        probabilities=answers.probabilities,
    )


def write_stored(record: StoredRecord, path: Path) -> None:
    """Write in one step, one study a line.

    Raises:
        ManifestError: the file cannot be written.
    """
    content = unbuild(record)
    studies, answers = content.pop("studies"), content.pop("probabilities")
    head = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    lists = ",\n".join(
        f' "{key}": [\n' + ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows) + "]"
        for key, rows in (("studies", studies), ("probabilities", answers))
    )
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(f"{head},\n{lists}\n}}\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ManifestError("file_unwritable", f"{error.strerror}.", file=str(path)) from error


def carry_over(name: str, weights: Path, before: str, after: str) -> None:
    """Keep a stored evaluation for the same network in a new file; drop one of another.

    Args:
        name: of the row.
        weights: directory of bundled weights.
        before: sha256 of the file that the network came from.
        after: sha256 of the file that it is in now.
    """
    path = stored_path(name, weights)
    record = read_stored(path)
    if record is None:
        return
    if record.weights_sha256 == before:
        write_stored(replace(record, weights_sha256=after), path)
    elif record.weights_sha256 != after:
        path.unlink()
