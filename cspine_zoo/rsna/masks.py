"""Label maps on disk and their way onto the grid of a CT: by affine, never by axis order."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from cspine_zoo.anatomy import THORACIC
from cspine_zoo.ct.geometry import Geometry, to_ras
from cspine_zoo.errors import StudyRejected

_LAST_RSNA_LABEL: Final = 19  # T12: "8-19 T1-T12" in the competition's data description
_SEPARABLE_VOXELS: Final = 0.01  # drift across the grid below which axes count as parallel


def write_label_map(path: Path, labels: NDArray[np.uint8], geometry: Geometry) -> None:
    """Write a RAS label map in the axis order of the RSNA masks, which is left, anterior, superior.

    With the DICOM files of the same study sorted by number, the pixel arrays then equal
    ``nii.transpose(1, 0, 2)[::-1, :, ::-1]``, as in the original.
    """
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (geometry.shape[0] - 1)
    affine[:3, 0] *= -1
    image = nib.Nifti1Image(np.ascontiguousarray(labels[::-1]), affine)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = image.to_bytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)  # the same mask, the same bytes
    path.write_bytes(content)


def read_label_map(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """Labels of ``path`` at the voxel centres of ``geometry``: 0, 1-7 C1-C7, 8 T1 and below.

    The file's affine alone says where its voxels are, so a mask stored sagittal, mirrored or
    upside down arrives in its place. Nearest neighbour; background outside the file's grid.

    Raises:
        StudyRejected: the file cannot be read, or holds anything but whole labels 0 to 19.
    """
    try:
        image = nib.load(path)
        stored = np.asanyarray(image.dataobj)  # type: ignore[attr-defined]
        affine = np.asarray(image.affine, dtype=np.float64)  # type: ignore[attr-defined]
    except (ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise StudyRejected(
            "mask_unreadable", f"the label map cannot be read ({error}).", file=path.name
        ) from error
    labels = _whole_labels(stored, path)
    try:
        return _nearest(labels, affine, geometry)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise StudyRejected(
            "mask_geometry", f"the label map has no usable affine ({error}).", file=path.name
        ) from error


def _whole_labels(stored: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """uint8 labels with every thoracic level folded into one."""
    if stored.ndim != 3:
        raise StudyRejected(
            "mask_shape", f"a label map has 3 axes, not {stored.ndim}.", file=path.name
        )
    with np.errstate(invalid="ignore"):  # NaN fails the comparison below
        labels = stored.astype(np.uint8)
    if not np.array_equal(labels, stored) or labels.max(initial=0) > _LAST_RSNA_LABEL:
        raise StudyRejected(
            "mask_labels", f"labels must be whole numbers 0 to {_LAST_RSNA_LABEL}.", file=path.name
        )
    return np.minimum(labels, np.uint8(THORACIC))


def _nearest(
    labels: NDArray[np.uint8], affine: NDArray[np.float64], target: Geometry
) -> NDArray[np.uint8]:
    ras, ras_affine = to_ras(labels, affine)
    source = Geometry((ras.shape[0], ras.shape[1], ras.shape[2]), ras_affine)
    matrix = np.linalg.inv(source.affine) @ target.affine
    drift = np.abs(matrix[:3, :3] - np.diag(np.diag(matrix)[:3])) * np.asarray(target.shape)
    picked: NDArray[np.uint8] = np.zeros(target.shape, np.uint8)
    if drift.max() < _SEPARABLE_VOXELS:
        rows = [np.rint(matrix[a, a] * np.arange(target.shape[a]) + matrix[a, 3]) for a in range(3)]
        inside = [
            np.flatnonzero((row >= 0) & (row < n)) for row, n in zip(rows, ras.shape, strict=True)
        ]
        found = [row[keep].astype(np.intp) for row, keep in zip(rows, inside, strict=True)]
        if all(len(at) for at in found):
            picked[_selection(inside)] = ras[_selection(found)]
        return picked
    plane = np.moveaxis(np.indices(target.shape[:2]), 0, -1).astype(np.float64)
    upper = np.asarray(ras.shape) - 1
    for k in range(
        target.shape[2]
    ):  # one slice at a time: a whole grid of coordinates is 24x the CT
        at = np.rint(plane @ matrix[:3, :2].T + matrix[:3, 2] * k + matrix[:3, 3]).astype(np.intp)
        keep = ((at >= 0) & (at <= upper)).all(axis=-1)
        picked[:, :, k][keep] = ras[tuple(at[keep].T)]
    return picked


def _selection(indices: list[NDArray[np.intp]]) -> tuple[NDArray[np.intp] | slice, ...]:
    """Indices of three axes as slices where they are consecutive: a copy instead of a gather."""
    if all(np.array_equal(at, np.arange(at[0], at[0] + len(at))) for at in indices):
        return tuple(slice(int(at[0]), int(at[-1]) + 1) for at in indices)
    return np.ix_(*indices)
