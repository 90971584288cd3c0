"""What ``predict --out`` writes, a file a format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cspine_zoo.errors import UsageError
from cspine_zoo.results import StudyPrediction, without_file_names

FILES: Final = {
    "json": "prediction.json",
    "csv": "prediction.csv",
    "html": "report.html",
    "nifti": "vertebrae.nii.gz",
}
"""File of each format, in the order in which they are written."""

WITHOUT_CLASSIFIER: Final = ("json", "nifti")
"""Formats that say something when nothing was classified."""


def parse_formats(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Formats of a list with commas; without a list, all that are known.

    Raises:
        UsageError: one of them is not known.
    """
    if text is None:
        return tuple(known)
    asked = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = [word for word in asked if word not in known]
    if unknown or not asked:
        raise UsageError(
            "unknown_format",
            f"there is no format {', '.join(unknown) or text!r} here.",
            hint=f"Known: {','.join(known)}.",
        )
    return tuple(name for name in known if name in asked)


def make_folder(path: Path) -> None:
    """Make the folder of the files before any work is done.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_outputs(
    result: StudyPrediction, answer: dict[str, Any], folder: Path, formats: Sequence[str]
) -> list[Path]:
    """Write a result in each format.

    Args:
        result: the study's predictions.
        answer: what ``--json`` prints; the file leaves out the names of skipped files.
        folder: an existing folder; files of the same name are replaced.
        formats: of ``FILES``.

    Returns:
        The files that were written.

    Raises:
        UsageError: the folder cannot be written to.
    """
    from cspine_zoo.export.html import to_html
    from cspine_zoo.export.nifti import write_nifti

    written = []
    for name in formats:
        path = folder / FILES[name]
        try:
            if name == "json":
                text = json.dumps(without_file_names(answer), indent=2, allow_nan=False) + "\n"
                path.write_text(text, encoding="utf-8")
            elif name == "csv":
                path.write_text(result.to_csv(), encoding="utf-8")
            elif name == "html":
                path.write_text(to_html(result), encoding="utf-8")
            elif result.label_map is not None:
                write_nifti(result.label_map, path)
        except OSError as error:
            raise _unwritable(path, error) from error
        written.append(path)
    return written


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        "bad_output",
        f"it cannot be written: {error.strerror or error}.",
        file=str(path),
        hint="Choose another folder with --out.",
    )
