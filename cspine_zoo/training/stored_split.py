"""Which studies a run may train on: drawn once, kept beside its results, checked for leaks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cspine_zoo.errors import UsageError
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.split import Split, split_studies, twin_groups
from cspine_zoo.rsna.tables import UID, read_table

_SET: Final = "set"
_TRAIN: Final = "train"
_HELD_OUT: Final = "held-out"


def stored_split(path: Path, rows: Sequence[StudyRow], seed: int) -> Split:
    """The split in ``path``, drawn and written if there is none.

    Args:
        path: CSV file of Study Instance UIDs and their sets.
        rows: studies of the layout.
        seed: of the draw.

    Raises:
        UsageError: the split is of other studies, or tears a patient or a twin pair apart.
        StudyRejected: the file is no table.
    """
    if not path.exists():
        split = split_studies(rows, seed)
        _write(path, split)
    else:
        sets = {row[UID]: row[_SET] for row in read_table(path, (UID, _SET))}
        if set(sets) != {row.uid for row in rows} or set(sets.values()) - {_TRAIN, _HELD_OUT}:
            raise UsageError(
                "other_split",
                "the stored split is of other studies.",
                file=path.name,
                hint="Train into another directory, or take the file away to draw a new one.",
            )
        split = Split(
            tuple(row for row in rows if sets[row.uid] == _TRAIN),
            tuple(row for row in rows if sets[row.uid] == _HELD_OUT),
        )
    check_leaks(split)
    return split


def check_leaks(split: Split) -> None:
    """Refuse a split that shows a patient on both sides.

    Raises:
        UsageError: a study stands on both sides, or its twin on the other.
    """
    rows = (*split.train, *split.held_out)
    torn = {row.uid for row in split.train} & {row.uid for row in split.held_out}
    boundary = len(split.train)
    for group in twin_groups(rows):
        if len({index < boundary for index in group}) > 1:
            torn.update(rows[index].uid for index in group)
    if torn:
        raise UsageError(
            "split_leak",
            f"training and held-out studies share patients: {', '.join(sorted(torn)[:3])}.",
            hint="Take the stored split away to draw a new one.",
        )


def _write(path: Path, split: Split) -> None:
    sets = {row.uid: _TRAIN for row in split.train} | {row.uid: _HELD_OUT for row in split.held_out}
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([UID, _SET])
        writer.writerows(sorted(sets.items()))
    draft.replace(path)
