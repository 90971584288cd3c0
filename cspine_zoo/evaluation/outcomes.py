"""What an evaluation keeps of each study: the truth, how it was made, and every model's answer.

Studies are numbered, never named: this is what may leave the machine that has their images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.evaluation.report import ModelRecords
from cspine_zoo.fields import build, parse_json, unbuild
from cspine_zoo.rsna.layout import StudyRow, SyntheticFacts

Probabilities = tuple[float | None, ...]
"""C1 to C7 and then the patient; None where the model gave none."""


@dataclass(frozen=True)
class StudyFacts:
    """One study of an evaluation.

    Attributes:
        number: its place in the evaluation, from 1.
        twin: number of the study that differs from it by the fracture alone; None without one.
        truth: 1 for each fractured level, C1 to C7.
        conspicuity: detectability d' of the fracture; None without one.
        displacement_mm: largest displacement of a fragment; None without a fracture.
        thickness_mm: slice thickness.
        noise_hu: standard deviation of the noise.
        field_mm: side of the field of view.

    Raises:
        ValueError: the truth is not seven flags.
    """

    number: int
    twin: int | None
    truth: tuple[int, ...]
    conspicuity: float | None = None
    displacement_mm: float | None = None
    thickness_mm: float | None = None
    noise_hu: float | None = None
    field_mm: float | None = None

    def __post_init__(self) -> None:
        if len(self.truth) != len(LEVELS) or set(self.truth) - {0, 1}:
            raise ValueError(f"truth must be {len(LEVELS)} flags, not {self.truth}")

    @property
    def fractured(self) -> bool:
        """Whether any level is."""
        return any(self.truth)

    def row(self) -> StudyRow:
        """The study as evaluations take it, without images."""
        facts = SyntheticFacts(
            twin_of="" if self.twin is None else str(self.twin),
            anatomy="",
            seed="",
            conspicuity=self.conspicuity,
            displacement_mm=self.displacement_mm,
            thickness_mm=self.thickness_mm,
            noise_hu=self.noise_hu,
            field_mm=self.field_mm,
        )
        return StudyRow(str(self.number), self.truth, Path(), synthetic=facts)


@dataclass(frozen=True)
class Answers:
    """What one model said.

    Attributes:
        weights_sha256: of the file that was run; empty if it answered nothing.
        probabilities: of each study.

    Raises:
        ValueError: a study has other than eight probabilities, or one is out of range.
    """

    weights_sha256: str
    probabilities: tuple[Probabilities, ...]

    def __post_init__(self) -> None:
        for row in self.probabilities:
            if len(row) != len(LEVELS) + 1:
                raise ValueError(f"a study has {len(LEVELS) + 1} probabilities, not {len(row)}")
            if not all(p is None or 0 <= p <= 1 for p in row):
                raise ValueError(f"probabilities must lie in 0 to 1, not {row}")

    def records(self) -> tuple[StudyRecord, ...]:
        """One for each study, as evaluations take them."""
        return tuple(
            StudyRecord(str(at), key="", prediction=_prediction(row))
            for at, row in enumerate(self.probabilities, start=1)
        )


@dataclass(frozen=True)
class Outcomes:
    """All studies of an evaluation and all answers.

    Attributes:
        synthetic: whether every study is marked as made up.
        studies: what is known of each.
        models: answers by the name that the evaluation was given.
    """

    synthetic: bool
    studies: tuple[StudyFacts, ...]
    models: Mapping[str, Answers]

    @classmethod
    def gather(cls, rows: Sequence[StudyRow], models: Mapping[str, ModelRecords]) -> Outcomes:
        """From the studies and the records of an evaluation."""
        numbers = {row.uid: at for at, row in enumerate(rows, start=1)}
        return cls(
            all(row.synthetic is not None for row in rows),
            tuple(_facts(row, numbers) for row in rows),
            {name: _answers(known.records) for name, known in models.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """The object of ``studies.json``."""
        return {
            "synthetic": self.synthetic,
            "studies": [unbuild(study) for study in self.studies],
            "models": {name: unbuild(answers) for name, answers in self.models.items()},
        }


def read_outcomes(path: Path) -> Outcomes:
    """Read what ``evaluate`` wrote.

    Raises:
        UsageError: there is no such file (``no_evaluation``).
        ManifestError: it is not what ``evaluate`` writes.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "no_evaluation",
            f"there is no {path.name} that can be read.",
            file=str(path),
            hint="Run cspine-zoo evaluate again with the same --out: predictions are kept.",
        ) from error
    known = build(_Stored, parse_json(text, path.name), path.name)
    models = {
        name: build(Answers, answers, f"{path.name}: {name}")
        for name, answers in known.models.items()
    }
    return Outcomes(known.synthetic, known.studies, models)


@dataclass(frozen=True)
class _Stored:
    synthetic: bool
    studies: tuple[StudyFacts, ...]
    models: dict[str, Any]


def _facts(row: StudyRow, numbers: Mapping[str, int]) -> StudyFacts:
    facts = row.synthetic
    if facts is None:
        return StudyFacts(numbers[row.uid], None, row.levels)
    return StudyFacts(
        number=numbers[row.uid],
        twin=numbers.get(row.twin_of),
        truth=row.levels,
        conspicuity=facts.conspicuity,
        displacement_mm=facts.displacement_mm,
        thickness_mm=facts.thickness_mm,
        noise_hu=facts.noise_hu,
        field_mm=facts.field_mm,
    )


def _answers(records: Sequence[StudyRecord]) -> Answers:
    weights = {
        record.prediction["weights_sha256"] for record in records if record.prediction is not None
    }
    return Answers(
        weights_sha256=weights.pop() if len(weights) == 1 else "",
        probabilities=tuple(
            (*(record.probability(level) for level in LEVELS), record.patient_overall)
            for record in records
        ),
    )


def _prediction(probabilities: Probabilities) -> dict[str, Any]:
    *levels, overall = probabilities
    return {
        "patient_overall": overall,
        "localizer": None,
        "findings": [],
        "vertebrae": [
            {"level": level, "probability": p} for level, p in zip(LEVELS, levels, strict=True)
        ],
    }
