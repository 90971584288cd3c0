"""Fracture boxes as RSNA draws them: axial, in pixels, one slice at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import Geometry

BOX_MARGIN_MM: Final = 2.0
"""Rim around the fracture's voxels: annotators frame a gap, they do not trace it."""


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle in the pixels of one DICOM file.

    Attributes:
        slice_number: name of the file, not an index into the sorted stack.
        x: left edge in columns; column ``c`` covers ``c`` to ``c + 1``.
        y: top edge in rows.
        width: extent in columns.
        height: extent in rows.
    """

    slice_number: int
    x: float
    y: float
    width: float
    height: float


def file_number(k: int, n_slices: int) -> int:
    """Name of the DICOM file that holds axial slice ``k`` of a RAS volume: 1 is the top."""
    return n_slices - k


def boxes_of(fracture_levels: NDArray[np.uint8], geometry: Geometry) -> tuple[Box, ...]:
    """One box for each fractured level on each slice that its fracture touches.

    Args:
        fracture_levels: (I, J, K) in RAS order; 0, or the label of the fractured level.
        geometry: grid of ``fracture_levels``.
    """
    size_i, size_j, size_k = geometry.shape
    margin_i = round(BOX_MARGIN_MM / geometry.spacing_mm[0])
    margin_j = round(BOX_MARGIN_MM / geometry.spacing_mm[1])
    boxes = []
    for k in np.flatnonzero(fracture_levels.any(axis=(0, 1))):
        plane = fracture_levels[:, :, k]
        for level in np.unique(plane[plane > 0]):
            i, j = np.nonzero(plane == level)
            # Columns run towards the patient's left and rows towards the back: both against RAS.
            left = max(size_i - 1 - int(i.max()) - margin_i, 0)
            right = min(size_i - int(i.min()) + margin_i, size_i)
            top = max(size_j - 1 - int(j.max()) - margin_j, 0)
            bottom = min(size_j - int(j.min()) + margin_j, size_j)
            number = file_number(int(k), size_k)
            boxes.append(Box(number, left, top, right - left, bottom - top))
    return tuple(sorted(boxes))
