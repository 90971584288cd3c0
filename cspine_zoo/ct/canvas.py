"""The array that slices are written into, once."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.geometry import Geometry, to_ras
from cspine_zoo.ct.grid import gaps
from cspine_zoo.ct.rescale import AIR_HU, HU
from cspine_zoo.ct.voxels import Kind, Voxels

MAX_VOXELS: Final = 1 << 30
"""Largest volume, 4 GiB as float32: 1,024 slices of 1,024 x 1,024."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """HU of a volume in acquisition order.

    Attributes:
        hu: (columns, rows, slices), a view of the planes below it.
        affine: from (column, row, slice) to RAS+ mm.
        voxels: the planes.
    """

    hu: HU
    affine: NDArray[np.float64]
    voxels: Voxels

    @classmethod
    def allocate(
        cls,
        shape: tuple[int, int, int],
        affine: NDArray[np.float64],
        voxels: Voxels,
        kind: Kind,
    ) -> Canvas:
        """An empty canvas.

        Args:
            shape: columns, rows, slices.
            affine: of these.
            voxels: where the planes go.
            kind: of number that HU are held as.

        Raises:
            Problem: the volume is larger than ``MAX_VOXELS``.
        """
        if shape[0] * shape[1] * shape[2] > MAX_VOXELS:
            raise Problem("too_large", "the volume has more than 2^30 voxels")
        columns, rows, slices = shape
        return cls(
            voxels.allocate((slices, rows, columns), kind).transpose(2, 1, 0), affine, voxels
        )

    def slice(self, k: int) -> AbstractContextManager[HU]:
        """One slice to be written in full, rows x columns."""
        return self.voxels.plane(k)

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
        hu = self._with_fractions() if bridged else self.hu
        for a, b in bridged:
            for k in range(a + 1, b):
                share = np.float32((k - a) / (b - a))
                hu[:, :, k] = hu[:, :, a] * (1 - share) + hu[:, :, b] * share
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, 2] * known[0]
        return replace(self, hu=hu[:, :, known[0] : known[-1] + 1], affine=affine), bridged

    def _with_fractions(self) -> HU:
        """The same HU as float32, in the planes of whole ones, which are gone then."""
        if self.hu.dtype == np.float32:
            return self.hu
        columns, rows, slices = self.hu.shape
        whole = self.hu.copy()
        wide = Canvas.allocate((columns, rows, slices), self.affine, self.voxels, np.float32)
        wide.hu[...] = whole
        return wide.hu

    def ras(self) -> tuple[HU, Geometry]:
        """HU and geometry with axes running R, A, S; a view, backwards along some of them."""
        hu, affine = to_ras(self.hu, self.affine)
        i, j, k = hu.shape
        return cast(HU, hu), Geometry((i, j, k), affine)


def shifted(hu: HU, shift: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
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
