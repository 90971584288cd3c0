"""A visitor's own weights beside the zoo's: checked by the package, named apart, kept by nobody.

A worker process can take any of this: it is a name and the path of a file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cspine_zoo as cz
from jobs import Report

TASK: Final = "fracture-classification"
_MARK: Final = "-own"
_NAMED: Final = re.compile(rf"(.+){_MARK}(?:-\d+)?")


@dataclass(frozen=True)
class OwnWeights:
    """A file that was checked.

    Attributes:
        name: what its results go by: its row's, marked, for the zoo's namesake may run beside it.
        path: of the file, in a directory of the session.
        entry: the row inside.
    """

    name: str
    path: Path
    entry: cz.ManifestEntry


Variant = str | OwnWeights
"""What a run is asked for: a model of the zoo by its name, or a file."""


def check(report: Report, path: Path) -> cz.ManifestEntry:
    """Load a file as a run would: everything in it must fit, and it must be a classifier.

    Raises:
        UsageError: it is for another task, code ``wrong_task``.
        WeightsError: it is damaged, something else, or does not fit its row.
        ManifestError: the row inside is none.
    """
    report("load", 0.0)
    entry: cz.ManifestEntry = cz.load_model(path, "cpu").entry
    if entry.task != TASK:
        raise cz.UsageError(
            "wrong_task",
            f"These weights are for {entry.task}; variants are compared in {TASK}.",
            hint="Segmenters and localizers can be used in Python and on the command line.",
        )
    return entry


def marked_name(row: str, taken: Collection[str]) -> str:
    """A name for results of a file with this row, unlike any taken one."""
    name, number = f"{row}{_MARK}", 1
    while name in taken:
        number += 1
        name = f"{row}{_MARK}-{number}"
    return name


def row_name(name: str) -> str | None:
    """The row's name behind a marked one; None for a model of the zoo."""
    found = _NAMED.fullmatch(name)
    return found.group(1) if found else None


def ready(variant: Variant, device: str) -> Any:
    """What ``cz.compare`` takes; a file is loaded here, so that nothing keeps it after the run."""
    if isinstance(variant, str):
        return variant
    model = cz.load_model(variant.path, device)
    model.entry = replace(model.entry, name=variant.name)
    return model
