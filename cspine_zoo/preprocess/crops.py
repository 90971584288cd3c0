"""One vertebra as a stack of axial images, as a slice classifier takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import FloatArray, Geometry
from cspine_zoo.errors import ManifestError
from cspine_zoo.preprocess.resample import AIR_HU, FloatVolume, apply_weights, axis_weights
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.preprocess.window import apply_window

Box = tuple[slice, slice, slice]

_STEP_OF_CHANNEL: Final = {"-2": -2, "previous": -1, "slice": 0, "next": 1, "+2": 2}
_MASK: Final = "mask"


@dataclass(frozen=True, eq=False)
class VertebraCrop:
    """Axial images of one vertebra, lowest slice first.

    Attributes:
        images: float32 (S, C, H, W). Rows run from anterior to posterior, columns from the
            patient's right to the left: an axial image as radiology shows it. Channels of
            intensity lie in -1 to 1, the mask in 0 to 1.
        positions_mm: float32 (S,), world z of each slice's centre.
        slice_indices: int (S,), the study's slice nearest to each.
        field_mm: extent of every image along x and y.
        geometry: where column, row and slice lie in the patient.
    """

    images: NDArray[np.float32]
    positions_mm: NDArray[np.float32]
    slice_indices: NDArray[np.int64]
    field_mm: tuple[float, float]
    geometry: Geometry


@dataclass(frozen=True)
class _Sampling:
    """Where a crop takes its pixels: mm from the study's first voxel, along I, J, K."""

    columns_mm: FloatArray
    rows_mm: FloatArray
    slices_mm: FloatArray
    field_mm: tuple[float, float]
    size_px: int
    neighbour_mm: float
    slice_mm: float

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Along I and J."""
        return self.field_mm[0] / self.size_px, self.field_mm[1] / self.size_px


def vertebra_crop(
    hu: NDArray[np.generic],
    geometry: Geometry,
    mask: NDArray[np.bool_],
    preprocess: Preprocess,
) -> VertebraCrop:
    """Cut one vertebra out of a study.

    ``n_slices`` slices lie at the centres of equal intervals of the mask's extent along K; in
    plane a rectangle of ``crop_mm``, or the square of the mask with its margin, is centred on the
    mask's bounding box.

    Args:
        hu: (I, J, K) in HU, RAS order.
        geometry: grid of ``hu``.
        mask: the vertebra on the same grid.
        preprocess: of the classifier; names the size, the slices and the channels.

    Raises:
        ValueError: the mask is empty or not on the grid of ``hu``.
        ManifestError: the preprocessing does not describe crops.
    """
    if mask.shape != hu.shape:
        raise ValueError(f"the mask has shape {mask.shape}, the study {hu.shape}")
    box = bounding_box(mask)
    if box is None:
        raise ValueError("an empty mask has no crop")
    return crop_in_box(hu, geometry, box, mask[box], preprocess)


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box of indices that holds the mask; None if it is empty."""
    fastest = int(np.argmin(np.abs(mask.strides)))
    slower = [axis for axis in range(3) if axis != fastest]
    projection = np.any(mask, axis=fastest)
    box = [slice(0, size) for size in mask.shape]
    for place, axis in enumerate(slower):
        used = np.flatnonzero(np.any(projection, axis=1 - place))
        if not used.size:
            return None
        box[axis] = slice(int(used[0]), int(used[-1]) + 1)
    used = np.flatnonzero(np.any(mask[box[0], box[1], box[2]], axis=tuple(slower)))
    box[fastest] = slice(int(used[0]), int(used[-1]) + 1)
    return box[0], box[1], box[2]


def crop_in_box(
    hu: NDArray[np.generic],
    geometry: Geometry,
    box: Box,
    mask: NDArray[np.bool_],
    preprocess: Preprocess,
) -> VertebraCrop:
    """Cut a vertebra whose bounding box, and mask within it, are known already.

    Args:
        hu: (I, J, K) in HU, RAS order.
        geometry: grid of ``hu``.
        box: where ``mask`` lies in ``hu``.
        mask: the vertebra within ``box``.
        preprocess: of the classifier.

    Raises:
        ManifestError: the preprocessing does not describe crops.
    """
    sampling = _sampling(geometry, box, preprocess)
    in_plane = [
        axis_weights(geometry.shape[axis], geometry.spacing_mm[axis], positions, width)
        for axis, (positions, width) in enumerate(
            zip((sampling.columns_mm, sampling.rows_mm), sampling.pixel_mm, strict=True)
        )
    ]
    shown = [name for name in preprocess.channels if name != _MASK]
    stacks: dict[str, FloatVolume] = {}
    if shown:
        depths = _depth_weights(geometry, sampling, [_STEP_OF_CHANNEL[name] for name in shown])
        weights = [*in_plane, depths]
        part = _used(weights)
        intensity = apply_window(_sample(hu[part], weights, part, AIR_HU), preprocess.window)
        stacks.update(zip(shown, np.split(intensity, len(shown)), strict=True))
    if _MASK in preprocess.channels:
        depths = _depth_weights(geometry, sampling, [0])
        stacks[_MASK] = _sample(mask, [*in_plane, depths], box, 0.0)
    positions_mm, slice_indices = _slice_places(geometry, sampling)
    images = np.stack([stacks[name] for name in preprocess.channels], axis=1)
    grid = _grid(geometry, sampling)
    return VertebraCrop(images, positions_mm, slice_indices, sampling.field_mm, grid)


def _sampling(geometry: Geometry, box: Box, preprocess: Preprocess) -> _Sampling:
    unknown = [c for c in preprocess.channels if c not in (*_STEP_OF_CHANNEL, _MASK)]
    if unknown or len(set(preprocess.channels)) < len(preprocess.channels):
        known = ", ".join((*_STEP_OF_CHANNEL, _MASK))
        raise ManifestError(
            "bad_preprocess",
            f"crops cannot have the channels {', '.join(preprocess.channels)}",
            hint=f"Channels are {known}, each at most once.",
        )
    field_mm, size_px = _field(geometry, box, preprocess), preprocess.size_px
    n_slices, neighbour_mm = preprocess.n_slices, preprocess.neighbour_mm
    if field_mm is None or size_px is None or n_slices is None or neighbour_mm is None:
        raise ManifestError(
            "bad_preprocess",
            "crops need crop_mm or margin_mm, size_px, n_slices and neighbour_mm",
        )
    spacing = geometry.spacing_mm
    x, y, z = ((s.start + s.stop - 1) / 2 * mm for s, mm in zip(box, spacing, strict=True))
    height_mm = (box[2].stop - box[2].start) * spacing[2]
    return _Sampling(
        columns_mm=x - _interval_centres(field_mm[0], size_px),
        rows_mm=y - _interval_centres(field_mm[1], size_px),
        slices_mm=z + _interval_centres(height_mm, n_slices),
        field_mm=field_mm,
        size_px=size_px,
        neighbour_mm=neighbour_mm,
        slice_mm=height_mm / n_slices,
    )


def _field(geometry: Geometry, box: Box, preprocess: Preprocess) -> tuple[float, float] | None:
    """Extent of a crop's images along x and y: pixels are square whatever the vertebra's shape."""
    if preprocess.margin_mm is None:
        return preprocess.crop_mm
    sides = [(box[axis].stop - box[axis].start) * geometry.spacing_mm[axis] for axis in (0, 1)]
    side = max(sides) + 2 * preprocess.margin_mm
    return side, side


def _interval_centres(extent_mm: float, count: int) -> FloatArray:
    """Centres of ``count`` equal intervals of an extent, measured from its middle."""
    return ((np.arange(count) + 0.5) / count - 0.5) * extent_mm


def _depth_weights(geometry: Geometry, sampling: _Sampling, steps: Sequence[int]) -> FloatVolume:
    """Weights along K for the slices, once for every step to a neighbour, one after another.

    A neighbour beyond the end of the scan is the last slice again, not air.
    """
    spacing, size = geometry.spacing_mm[2], geometry.shape[2]
    depths = [sampling.slices_mm + step * sampling.neighbour_mm for step in steps]
    positions = np.clip(np.concatenate(depths), 0, (size - 1) * spacing)
    return axis_weights(size, spacing, positions, sampling.neighbour_mm)


def _used(weights: Sequence[FloatVolume]) -> Box:
    """The part of the grid that any sample draws on."""
    parts = []
    for matrix in weights:
        used = np.flatnonzero(np.any(matrix, axis=0))
        parts.append(slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1))
    return parts[0], parts[1], parts[2]


def _sample(
    piece: NDArray[np.generic], weights: Sequence[FloatVolume], part: Box, fill: float
) -> FloatVolume:
    """Images (slice, row, column) from the ``part`` of the study that ``piece`` holds."""
    columns = [matrix[:, where] for matrix, where in zip(weights, part, strict=True)]
    return np.ascontiguousarray(apply_weights(piece, columns, fill).transpose(2, 1, 0))


def _slice_places(
    geometry: Geometry, sampling: _Sampling
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """World z of each slice where it crosses the crop's centre, and its nearest study slice."""
    centre = (sampling.columns_mm.mean(), sampling.rows_mm.mean())
    voxels = [(*centre, z) / np.asarray(geometry.spacing_mm) for z in sampling.slices_mm]
    nearest = np.clip(np.rint(np.array(voxels)[:, 2]), 0, geometry.shape[2] - 1)
    return geometry.to_world(np.array(voxels))[:, 2].astype(np.float32), nearest.astype(np.int64)


def _grid(geometry: Geometry, sampling: _Sampling) -> Geometry:
    """Of a crop's columns, rows and slices."""
    spacing = np.asarray(geometry.spacing_mm)
    columns, rows, slices = sampling.columns_mm, sampling.rows_mm, sampling.slices_mm
    steps = np.array([-sampling.pixel_mm[0], -sampling.pixel_mm[1], sampling.slice_mm])
    affine = np.eye(4)
    affine[:3, :3] = geometry.affine[:3, :3] / spacing * steps
    affine[:3, 3] = geometry.to_world(np.array([columns[0], rows[0], slices[0]]) / spacing)
    return Geometry((len(columns), len(rows), len(slices)), affine)
