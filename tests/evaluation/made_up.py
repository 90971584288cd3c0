"""Studies and records of them that are written by hand."""

from pathlib import Path
from typing import Any

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.rsna.layout import StudyRow, SyntheticFacts

FACTS = {
    "anatomy": "boxes",
    "seed": 1,
    "conspicuity": None,
    "displacement_mm": None,
    "thickness_mm": 2.0,
    "noise_hu": 0.0,
}
"""Of a study of boxes, as ``synthetic.csv`` has them."""


def row(
    uid: str, fractured: tuple[str, ...] = (), twin_of: str = "", dprime: float = 0
) -> StudyRow:
    facts = SyntheticFacts(
        twin_of, "parametric", "1", dprime or None, None, 1.0 + len(uid), 20.0 + int(uid)
    )
    flags = tuple(int(level in fractured) for level in LEVELS)
    return StudyRow(uid, flags, Path("none"), synthetic=facts)


def prediction(
    overall: float | None, localizer: str | None = None, **levels: Any
) -> dict[str, Any]:
    return {
        "patient_overall": overall,
        "localizer": localizer,
        "findings": [],
        "vertebrae": [{"level": name, "probability": levels.get(name, 0.05)} for name in LEVELS],
    }


def record(uid: str, overall: float | None, **parts: Any) -> StudyRecord:
    levels = {name: parts.pop(name) for name in LEVELS if name in parts}
    localizer = parts.pop("localizer", None)
    return StudyRecord(uid, "key", prediction(overall, localizer, **levels), **parts)


ROWS = (
    row("1", ("C5",), dprime=1.0),
    row("2", twin_of="1"),
    row("3", ("C2", "C3"), dprime=3.0),
    row("4", twin_of="3"),
)


def good() -> tuple[StudyRecord, ...]:
    return (
        record("1", 0.9, C5=0.8),
        record("2", 0.2, C5=0.1),
        record("3", 0.7, C2=0.6, C3=0.05),
        record("4", 0.6, C2=0.4, C3=0.05),
    )
