"""Vertebrae of a cache put together to spines, for networks that read whole ones."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from cspine_zoo.anatomy import LEVELS

Integers = NDArray[np.int64]

_FRACTURED_PATIENTS: Final = 0.5
_FRACTURED_LEVELS: Final = 0.3
"""Of a fractured patient, where there is a choice."""


class Spines:
    """The studies of a cache, as rows of their vertebrae.

    A vertebra with a twin may stand in either state: a patient whose scans are twins can be
    whole, or broken at any levels, with nothing else changed. Without that, patients drawn from
    twin scans would nearly all be fractured.

    Args:
        labels: (N,) 1 for fractured.
        levels: (N,) 1-7.
        studies: (N,) name or number of each vertebra's study.
        twins: (N,) row of the same vertebra in the other state, -1 where there is none.
    """

    def __init__(
        self, labels: Integers, levels: Integers, studies: NDArray[np.generic], twins: Integers
    ) -> None:
        self._labels, self._twins = labels, twins
        names, numbers = np.unique(studies, return_inverse=True)
        self._rows = np.full((len(names), len(LEVELS)), -1, np.int64)
        self._rows[numbers, levels - 1] = np.arange(len(labels))

    def draw(self, count: int, generator: Generator) -> Integers:
        """Rows (count, 7) of random spines' vertebrae; -1 where a level is not there."""
        chosen = torch.randint(len(self._rows), (count,), generator=generator).numpy()
        rows = self._rows[chosen]
        fractured = torch.rand(count, generator=generator).numpy() < _FRACTURED_PATIENTS
        wished = torch.rand(rows.shape, generator=generator).numpy() < _FRACTURED_LEVELS
        one = torch.randint(len(LEVELS), (count,), generator=generator).numpy()
        wished[np.arange(count), one] = True
        wished &= fractured[:, None]
        other = self._twins[rows]
        changed = (rows >= 0) & (other >= 0) & (self._labels[rows] != wished)
        drawn: Integers = np.where(changed, other, rows)
        return drawn


def truth_of(labels: Integers, rows: Integers) -> NDArray[np.float32]:
    """1 where a row is of a fractured vertebra; 0 where it is whole, or not there (-1)."""
    return np.where(rows >= 0, labels[rows], 0).astype(np.float32)
