"""Area-averaging resampling on a half-pixel grid, as one weight matrix an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import FloatArray, Geometry

FloatVolume = NDArray[np.float32]

AIR_HU = -1000.0
"""Hounsfield units of air, by definition of the scale: what lies outside a scan."""

_BAND = 8
"""Output samples that share one slab of the input: each needs only the voxels near it, so small
dense products over slabs beat one large product with a matrix that is mostly zero (512 x 512 x 300
to 128^3, one thread: slabs of 8 take .12 s, whole matrices .5 s)."""

_FASTEST_AXIS_PENALTY = 2.0
"""Along the axis that is contiguous in memory a product with a few columns runs at a third of the
speed, so it waits until another axis has shrunk the volume, unless it shrinks much more."""


def axis_weights(
    n_in: int, spacing_in: float, positions_out: FloatArray | Sequence[float], width_out: float
) -> FloatVolume:
    """Weights that turn ``n_in`` samples along an axis into averages around other positions.

    Every input sample is a box of ``spacing_in``. An output sample averages over a box of
    ``max(width_out, spacing_in)``: an area average when it shrinks, linear interpolation when it
    enlarges (the overlap of two boxes of one width is a tent), and one passes smoothly into the
    other. Positions within the input's outer faces get weights that sum to one, so that the edge
    is continued; positions outside get none.

    Args:
        n_in: samples along the axis.
        spacing_in: distance of their centres in mm.
        positions_out: centres of the output samples, in mm from the centre of the first input.
        width_out: width of an output sample in mm.

    Returns:
        (len(positions_out), n_in) matrix.

    >>> axis_weights(4, 1.0, [0.5, 2.5], 2.0).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    >>> axis_weights(2, 1.0, [0.25, 9.0], 0.5).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    centres = np.asarray(positions_out, dtype=np.float64)[:, None] / spacing_in
    half = max(width_out / spacing_in, 1.0) / 2
    samples = np.arange(n_in)
    overlap = np.minimum(centres + half, samples + 0.5) - np.maximum(centres - half, samples - 0.5)
    weights = np.clip(overlap, 0, None)
    inside = (centres >= -0.5 - 1e-6) & (centres <= n_in - 0.5 + 1e-6)
    total = weights.sum(axis=1, keepdims=True)
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=inside & (total > 0))
    return np.asarray(weights * scale, dtype=np.float32)


def apply_weights(
    volume: NDArray[np.generic], weights: Sequence[FloatVolume], fill: float = 0.0
) -> FloatVolume:
    """Resample ``volume`` along its three axes with one matrix each.

    Args:
        volume: any real dtype and memory layout; it is neither changed nor copied as a whole.
        weights: matrices of ``axis_weights`` for I, J, K.
        fill: value where a row of weights is empty, that is outside the volume.

    Returns:
        float32 volume of the matrices' row counts.
    """
    growth = [len(matrix) / matrix.shape[1] for matrix in weights]
    growth[int(np.argmin(np.abs(volume.strides)))] *= _FASTEST_AXIS_PENALTY
    order = sorted(range(3), key=growth.__getitem__)
    result: NDArray[np.generic] = volume
    for axis in order:
        result = _along_axis(result, weights[axis], axis)
    resampled = np.ascontiguousarray(result, dtype=np.float32)
    if fill:
        for axis, matrix in enumerate(weights):
            np.moveaxis(resampled, axis, 0)[~np.any(matrix, axis=1)] = fill
    return resampled


def resample(
    hu: NDArray[np.generic], geometry: Geometry, target: Geometry, fill: float = AIR_HU
) -> FloatVolume:
    """Bring a volume onto another grid whose axes run in the same directions.

    Voxels are boxes: the mean over a field of view is kept when the target tiles it. The axes
    may be oblique in the patient; they stay as they are.

    Args:
        hu: (I, J, K) on ``geometry``.
        geometry: grid of ``hu``.
        target: grid with axes parallel to those of ``geometry``; any spacing and field of view.
        fill: value outside the field of view of ``hu``.

    Returns:
        float32 volume on ``target``.

    Raises:
        ValueError: the grids' axes are not parallel.
    """
    return apply_weights(hu, grid_weights(geometry, target), fill)


def grid_weights(geometry: Geometry, target: Geometry) -> list[FloatVolume]:
    """One matrix an axis from ``geometry`` to the parallel grid ``target``."""
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing_mm)
    others = target.affine[:3, :3] / np.asarray(target.spacing_mm)
    if not np.allclose(directions, others, atol=1e-4):
        raise ValueError("resampling needs grids with parallel axes")
    first = geometry.to_voxel(target.affine[:3, 3])
    weights = []
    for axis, (spacing, width) in enumerate(
        zip(geometry.spacing_mm, target.spacing_mm, strict=True)
    ):
        positions = first[axis] * spacing + np.arange(target.shape[axis]) * width
        weights.append(axis_weights(geometry.shape[axis], spacing, positions, width))
    return weights


def _along_axis(
    volume: NDArray[np.generic], weights: FloatVolume, axis: int
) -> NDArray[np.generic]:
    """Multiply one axis by a banded matrix, slab by slab."""
    for other, stride in enumerate(volume.strides):
        # BLAS cannot walk backwards, and NumPy's own loop is many times slower.
        if stride < 0:
            flipped = np.flip(volume, other)
            if other == axis:
                return _along_axis(flipped, np.ascontiguousarray(weights[:, ::-1]), axis)
            return np.flip(_along_axis(flipped, weights, axis), other)
    layout = sorted(range(3), key=lambda a: -volume.strides[a])
    ordered = volume.transpose(layout)
    place = layout.index(axis)
    shape = list(ordered.shape)
    shape[place] = len(weights)
    result = np.zeros(shape, np.float32)
    for rows, columns in _bands(weights):
        band = np.ascontiguousarray(weights[rows, columns])
        if place == 2:
            source = ordered[:, :, columns].astype(np.float32, copy=False)
            np.matmul(source, band.T, out=result[:, :, rows])
        elif place == 1:
            source = ordered[:, columns].astype(np.float32, copy=False)
            np.matmul(band, source, out=result[:, rows])
        else:
            source = ordered[columns].astype(np.float32, copy=False).swapaxes(0, 1)
            np.matmul(band, source, out=result[rows].swapaxes(0, 1))
    return result.transpose(np.argsort(layout))


def _bands(weights: FloatVolume) -> list[tuple[slice, slice]]:
    """Blocks of rows with the range of columns that any of them uses."""
    bands = []
    for start in range(0, len(weights), _BAND):
        rows = slice(start, min(start + _BAND, len(weights)))
        used = np.flatnonzero(weights[rows].any(axis=0))
        if used.size:
            bands.append((rows, slice(int(used[0]), int(used[-1]) + 1)))
    return bands
