"""Split studies so that no patient and no twin pair stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cspine_zoo.errors import UsageError
from cspine_zoo.rsna.layout import StudyRow


@dataclass(frozen=True)
class Split:
    """Two sets of studies without a patient in common."""

    train: tuple[StudyRow, ...]
    held_out: tuple[StudyRow, ...]


def twin_groups(rows: Sequence[StudyRow]) -> tuple[tuple[int, ...], ...]:
    """Indices of ``rows`` that belong together: a study with its twins, or a study alone.

    In RSNA's data a study is a patient, so nothing else ties studies together.
    """
    index = {row.uid: i for i, row in enumerate(rows)}
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, row in enumerate(rows):
        twin = index.get(row.twin_of)
        if twin is not None:
            low, high = sorted((root(i), root(twin)))
            parent[high] = low
    members: dict[int, list[int]] = {}
    for i in range(len(rows)):
        members.setdefault(root(i), []).append(i)
    return tuple(tuple(group) for group in members.values())


def split_studies(rows: Sequence[StudyRow], seed: int, held_out: float = 0.2) -> Split:
    """Draw a share of the patients, fractured and whole ones alike, to be held out.

    The same rows, in any order, and the same seed give the same split.

    Args:
        rows: studies of one layout.
        seed: of the draw.
        held_out: share of patients to hold out, between 0 and 1.

    Raises:
        UsageError: the share is not between 0 and 1.
    """
    if not 0 < held_out < 1:
        raise UsageError(
            "held_out", f"the share held out must lie between 0 and 1, not {held_out}."
        )
    ordered = sorted(rows, key=lambda row: row.uid)
    groups = twin_groups(ordered)
    generator = np.random.default_rng(seed)
    chosen: set[int] = set()
    for fractured in (0, 1):
        stratum = [g for g in groups if max(ordered[i].patient_overall for i in g) == fractured]
        picked = generator.permutation(len(stratum))[: round(held_out * len(stratum))]
        chosen.update(i for g in picked for i in stratum[int(g)])
    train = tuple(row for i, row in enumerate(ordered) if i not in chosen)
    return Split(train, tuple(row for i, row in enumerate(ordered) if i in chosen))
