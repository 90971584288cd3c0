"""What is kept of each study on disk, so that an interrupted evaluation goes on where it was."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.findings import FindingScore
from cspine_zoo.evaluation.vertebrae import VertebraScore
from cspine_zoo.results import Point

_PREDICTIONS: Final = "predictions"


@dataclass(frozen=True)
class StudyRecord:
    """One model's predictions for one study, and how its parts compare with the truth.

    Attributes:
        uid: the study.
        key: stands for the model, its weights and the study's files; another key, another record.
        prediction: the object of `predict --json` for this model; None if the study failed.
        vertebrae: scores of the levels that the study's label map shows; None without one.
        findings: counts; None where nobody says where the fractures are.
        error: why there is no prediction, as ``{"code", "file", "reason", "hint"}``.
        notes: truth that could not be used, and why.
    """

    uid: str
    key: str
    prediction: dict[str, Any] | None = None
    vertebrae: dict[str, VertebraScore] | None = None
    findings: FindingScore | None = None
    error: dict[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def patient_overall(self) -> float | None:
        """Probability of any fracture; None where there is none."""
        if self.prediction is None:
            return None
        probability: float | None = self.prediction["patient_overall"]
        return probability

    def probability(self, level: str) -> float | None:
        """Probability of a fracture of ``level``; None where the level was not found."""
        if self.prediction is None:
            return None
        rows = {row["level"]: row["probability"] for row in self.prediction["vertebrae"]}
        probability: float | None = rows.get(level)
        return probability

    def centroid_mm(self, level: str) -> Point | None:
        """Where the model has ``level``, in world mm; None where it was not found."""
        if self.prediction is None:
            return None
        for row in self.prediction["vertebrae"]:
            if row["level"] == level and row.get("centroid_mm") is not None:
                x, y, z = row["centroid_mm"]
                return x, y, z
        return None

    @property
    def can_find(self) -> bool:
        """Whether the model names regions at all."""
        return self.prediction is not None and bool(
            self.prediction["localizer"] or self.prediction["findings"]
        )


def record_path(out: Path, model: str, uid: str) -> Path:
    """Where the record of ``uid`` by ``model`` is kept under ``out``."""
    folder = re.sub(r"[^A-Za-z0-9._-]+", "_", model).strip("._") or "model"
    return out / _PREDICTIONS / folder / f"{uid}.json"


def write_record(path: Path, record: StudyRecord) -> None:
    """Write in one step: a record is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(asdict(record), allow_nan=False), encoding="utf-8")
    partial.replace(path)


def read_record(path: Path, key: str) -> StudyRecord | None:
    """The record at ``path`` if it is there, was made under ``key`` and holds a prediction.

    A study that failed is tried again: its files may have been mended.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = _from_dict(content)
    except (ValueError, KeyError, TypeError):
        return None  # of another version: made anew
    return record if record.key == key and record.prediction is not None else None


def _from_dict(content: dict[str, Any]) -> StudyRecord:
    vertebrae, findings = content["vertebrae"], content["findings"]
    return StudyRecord(
        uid=content["uid"],
        key=content["key"],
        prediction=content["prediction"],
        vertebrae=None
        if vertebrae is None
        else {level: VertebraScore(**vertebrae[level]) for level in LEVELS if level in vertebrae},
        findings=None if findings is None else FindingScore(**findings),
        error=content["error"],
        notes=tuple(content["notes"]),
    )
