"""The CSV files of the layout: read strictly, extended one study at a time, always sorted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.errors import StudyRejected

UID: Final = "StudyInstanceUID"

TRAIN: Final = "train.csv"
TRAIN_COLUMNS: Final = (UID, PATIENT_OVERALL, *LEVELS)

BOXES: Final = "train_bounding_boxes.csv"
BOX_COLUMNS: Final = (UID, "x", "y", "width", "height", "slice_number")

SYNTHETIC: Final = "synthetic.csv"
SYNTHETIC_COLUMNS: Final = (
    UID,
    "twin_of",
    "anatomy",
    "seed",
    "conspicuity",
    "displacement_mm",
    "thickness_mm",
    "noise_hu",
)
SYNTHETIC_ADDED: Final = ("field_mm", "neck_in_view", "families")
"""Columns after ``SYNTHETIC_COLUMNS`` that older sets lack."""

Row = dict[str, str]
Number = TypeVar("Number", int, float)


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Rows of ``path``, each with at least ``columns``; other columns are kept as they are.

    Raises:
        StudyRejected: the file cannot be read, lacks a column, or a line is short.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyRejected(
            "table_unreadable", f"the table cannot be read ({error}).", file=path.name
        ) from error
    if missing:
        raise StudyRejected("table_columns", f"no column {', '.join(missing)}.", file=path.name)
    for line, row in enumerate(rows, start=2):
        if None in row or any(row[name] is None for name in columns):
            raise StudyRejected("table_line", f"line {line} has the wrong length.", file=path.name)
    return rows


def number(row: Row, column: str, kind: Callable[[str], Number], file: str) -> Number:
    """The value of ``column`` as ``int`` or ``float``.

    Raises:
        StudyRejected: it is neither.
    """
    try:
        return kind(row[column])
    except ValueError as error:
        raise StudyRejected(
            "table_value", f"{column} of {row[UID]} is no number: {row[column][:40]!r}.", file=file
        ) from error


def replace_rows(
    path: Path,
    columns: Sequence[str],
    uid: str,
    rows: Iterable[Sequence[str | int | float | None]],
) -> None:
    """Make ``rows`` the only ones of study ``uid`` in the table, and sort it.

    The new table replaces the old in one step, under a lock: writers that share a directory lose
    no row, and a process that is killed leaves the old table whole.
    """
    with FileLock(path.with_name(f".{path.name}.lock")):
        kept = read_table(path, columns) if path.exists() else []
        lines: list[list[str]] = [
            [row[name] for name in columns] for row in kept if row[UID] != uid
        ]
        lines += [[_cell(value) for value in row] for row in rows]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(_sorted(lines, columns))
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text.getvalue(), encoding="utf-8")
        partial.replace(path)


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _sorted(lines: list[list[str]], columns: Sequence[str]) -> list[list[str]]:
    """By study, then by slice as a number where the table has slices."""
    if "slice_number" not in columns:
        return sorted(lines)
    at = columns.index("slice_number")
    return sorted(lines, key=lambda line: (line[0], int(line[at]), line))
