"""The array that slices are written into, once, already in RAS order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.geometry import Geometry, closest_axes, to_ras
from cspine_zoo.ct.grid import gaps
from cspine_zoo.ct.voxels import Voxels

AIR_HU: Final = -1024.0
"""Floor of HU and value of everything outside the reconstruction: what 12-bit scanners write."""

EXACT_BITS: Final = 24
"""Integers up to this size are exact in float32 (IEEE 754)."""

MAX_VOXELS: Final = 1 << 30
"""Largest volume, 4 GiB as float32: 1,024 slices of 1,024 x 1,024."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """HU of a volume in acquisition order over memory that runs R, A, S with positive strides.

    Attributes:
        hu: float32, (columns, rows, slices), a view with whatever strides that takes.
        affine: from (column, row, slice) to RAS+ mm.
        voxels: the planes below it.
        turns: how columns, rows and slices run over these planes.
    """

    hu: NDArray[np.float32]
    affine: NDArray[np.float64]
    voxels: Voxels
    turns: tuple[slice, slice, slice]

    @classmethod
    def allocate(
        cls, shape: tuple[int, int, int], affine: NDArray[np.float64], voxels: Voxels
    ) -> Canvas:
        """An empty canvas; each slice is contiguous but for the direction of its axes.

        Raises:
            Problem: the volume is larger than ``MAX_VOXELS``.
        """
        if shape[0] * shape[1] * shape[2] > MAX_VOXELS:
            raise Problem("too_large", "the volume has more than 2^30 voxels")
        columns, rows, slices = shape
        stored = voxels.allocate((slices, rows, columns)).transpose(2, 1, 0)
        # An axis that runs against RAS is written backwards, so that it is read forwards.
        i, j, k = (slice(None, None, -1 if sign < 0 else 1) for _, sign in closest_axes(affine))
        return cls(stored[i, j, k], affine, voxels, (i, j, k))

    @contextmanager
    def slice(self, k: int) -> Iterator[NDArray[np.float32]]:
        """One slice to be written in full, rows x columns."""
        columns, rows, slices = self.turns
        number = k if slices.step == 1 else self.hu.shape[2] - 1 - k
        with self.voxels.plane(number) as plane:
            yield plane[rows, columns]

    def bridge(self, present: Collection[int]) -> tuple[Canvas, list[tuple[int, int]]]:
        """Interpolate slices that are missing between others; drop those missing at the ends.

        Args:
            present: indices of the slices that were written.

        Returns:
            The canvas, and the pairs of neighbours between which slices were filled in.

        Raises:
            Problem: a gap is too wide to be bridged.
        """
        known = sorted(present)
        bridged = gaps(known, self.affine)
        for a, b in bridged:
            for k in range(a + 1, b):
                share = np.float32((k - a) / (b - a))
                self.hu[:, :, k] = self.hu[:, :, a] * (1 - share) + self.hu[:, :, b] * share
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, 2] * known[0]
        return replace(self, hu=self.hu[:, :, known[0] : known[-1] + 1], affine=affine), bridged

    def ras(self) -> tuple[NDArray[np.float32], Geometry]:
        """HU and geometry with axes running R, A, S; a view with positive strides."""
        voxels, affine = to_ras(self.hu, self.affine)
        i, j, k = voxels.shape
        return cast(NDArray[np.float32], voxels), Geometry((i, j, k), affine)


def write_hu(
    out: NDArray[np.float32],
    stored: NDArray[np.number[Any]],
    slope: float,
    intercept: float,
    bits: int,
) -> None:
    """Write ``stored * slope + intercept`` to ``out``, never below air.

    Whole numbers stay exact: in float32 if they fit, else through float64 and one rounding.
    """
    # Found in a hundredth of np.maximum's time, which most slices then do not need.
    lowest = float(stored.min() if slope > 0 else stored.max()) * slope + intercept
    # Arithmetic is three times faster along memory than against it: only the copy turns.
    turns = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in out.strides)
    out, stored = out[turns], stored[turns]
    whole = slope.is_integer() and intercept.is_integer()
    if whole and abs(slope) * 2.0**bits + abs(intercept) <= 2.0**EXACT_BITS:
        np.copyto(out, stored, casting="same_kind")
        if slope != 1:
            out *= np.float32(slope)
        out += np.float32(intercept)
    else:
        out[...] = stored.astype(np.float64) * slope + intercept
    if lowest < AIR_HU:
        np.maximum(out, np.float32(AIR_HU), out=out)


def shifted(
    hu: NDArray[np.float32], shift: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """A slice displaced by ``shift`` columns and rows on a larger canvas of air, linearly.

    Args:
        hu: rows x columns.
        shift: columns and rows, not negative.
        shape: rows and columns of the result.
    """
    whole = np.floor(shift).astype(int)
    part = (shift - whole).astype(np.float32)
    canvas = np.full((shape[0] + 1, shape[1] + 1), AIR_HU, np.float32)
    rows, columns = hu.shape
    canvas[whole[1] : whole[1] + rows, whole[0] : whole[0] + columns] = hu
    for axis, share in ((0, part[1]), (1, part[0])):
        if share:
            canvas = canvas * (1 - share) + np.roll(canvas, 1, axis) * share
    return canvas[: shape[0], : shape[1]]
