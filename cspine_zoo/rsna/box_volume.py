"""Fracture boxes on the grid of a study: by the position of their files, never by an index."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import StudyRejected
from cspine_zoo.rsna.boxes import Box

_LPS_TO_RAS: Final = np.array([-1.0, -1.0, 1.0])  # DICOM PS3.3 C.7.6.2.1.1


def boxes_in_volume(folder: Path, boxes: Sequence[Box], geometry: Geometry) -> NDArray[np.bool_]:
    """Voxels (I, J, K) of a study that its boxes cover, each on the slice nearest to its own.

    A box of a slice that is not there, or beyond the grid, marks nothing.

    Args:
        folder: of the study's DICOM files.
        boxes: in pixels of these files.
        geometry: grid of the study, RAS.

    Raises:
        StudyRejected: a file does not say where its pixels are.
    """
    marked = np.zeros(geometry.shape, bool)
    for number, of_slice in groupby(sorted(boxes), key=lambda box: box.slice_number):
        path = folder / f"{number}.dcm"
        if path.is_file():
            affine = _pixel_affine(path)
            for box in of_slice:
                _mark(marked, affine, box, geometry)
    return marked


def _mark(
    marked: NDArray[np.bool_], affine: NDArray[np.float64], box: Box, geometry: Geometry
) -> None:
    # Column c covers c to c + 1 in a box, and its centre is c in the affine.
    columns = np.array([box.x, box.x + box.width]) - 0.5
    rows = np.array([box.y, box.y + box.height]) - 0.5
    corners = np.array([[c, r, 1.0] for c in columns for r in rows]) @ affine.T
    voxels = geometry.to_voxel(corners)
    low, high = np.ceil(voxels.min(axis=0)), np.floor(voxels.max(axis=0))
    k = round(float(voxels[:, 2].mean()))
    if 0 <= k < geometry.shape[2]:
        start = np.maximum(low[:2], 0).astype(int)
        stop = np.maximum(high[:2] + 1, 0).astype(int)
        marked[start[0] : stop[0], start[1] : stop[1], k] = True


def _pixel_affine(path: Path) -> NDArray[np.float64]:
    """(3, 3) from (column, row, 1) to RAS mm."""
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    try:
        position = np.array(header.ImagePositionPatient, float)
        orientation = np.array(header.ImageOrientationPatient, float)
        row_mm, column_mm = (float(value) for value in header.PixelSpacing)
        columns = [orientation[:3] * column_mm, orientation[3:] * row_mm, position]
        return np.asarray(np.stack(columns, axis=1) * _LPS_TO_RAS[:, None])
    except (AttributeError, TypeError, ValueError) as error:
        raise StudyRejected(
            "box_geometry", "a slice with a box does not say where it is.", file=path.name
        ) from error
