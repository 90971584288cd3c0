"""The line through the vertebral bodies, and what volumes show along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import FloatArray, Geometry

STEP_MM: Final = 1.0

_WITH_BODIES: Final = range(LABEL_OF["C2"], LABEL_OF["C7"] + 1)
_FEWEST_BODIES: Final = 4
_NEAREST_MM: Final = 5.0
"""Half of the lowest body: nearer to each other, two of them are not told apart."""
_DEEP: Final = 0.75
"""A body is the thickest part of its vertebra: its middle are the voxels from this share of the
greatest depth on."""

_BEYOND_MM: Final = 25.0
"""How far the line goes on above C2's middle and below C7's: a level and a bit."""

_SMOOTH_MM: Final = 8.0
"""Bodies stand in a curve, with no kinks of half a level's height."""


@dataclass(frozen=True, eq=False)
class Column:
    """A smooth line from above the body of C2 to below that of the lowest level.

    Attributes:
        points_mm: (n, 3) world positions, ``STEP_MM`` apart, from top to bottom.
        forwards: (n, 3) unit vectors at these, square to the line, towards the front.
        sideways: (n, 3) unit vectors square to both.
    """

    points_mm: FloatArray
    forwards: FloatArray
    sideways: FloatArray

    def sample(
        self,
        volume: NDArray[Any],
        grid: Geometry,
        forwards_mm: Sequence[float],
        sideways_mm: Sequence[float],
        order: Literal[0, 1] = 1,
    ) -> NDArray[Any]:
        """A volume about the line, (offsets, n): every pair of a forward and a sideward offset.

        Args:
            volume: on ``grid``; beyond its edge it goes on as there.
            grid: of the volume.
            forwards_mm: distances from the line to the front.
            sideways_mm: distances aside.
            order: 1 interpolates, 0 takes the nearest voxel, as labels want it.
        """
        places = [self._voxels(grid, f, s).T for f in forwards_mm for s in sideways_mm]
        return np.stack(
            [
                ndimage.map_coordinates(volume, place, order=order, mode="nearest")
                for place in places
            ]
        )

    def inside(self, grid: Geometry) -> NDArray[np.bool_]:
        """Which points lie within the grid, its outermost voxels left out."""
        voxels = self._voxels(grid, 0.0, 0.0)
        within = (voxels >= 1) & (voxels <= np.array(grid.shape) - 2)
        return np.asarray(within.all(axis=1))

    def _voxels(self, grid: Geometry, forwards_mm: float, sideways_mm: float) -> FloatArray:
        return grid.to_voxel(
            self.points_mm + forwards_mm * self.forwards + sideways_mm * self.sideways
        )


def find_column(
    labels: NDArray[np.uint8], solid: NDArray[np.bool_], grid: Geometry
) -> Column | None:
    """The line through the bodies of C2 to C7, as far as they are there.

    Args:
        labels: 0-8, each level once, in order.
        solid: bone and discs, by whose depth bodies are told from arches.
        grid: of both.

    Returns:
        None where fewer than four levels have a body, or two have theirs at one place.
    """
    middles = grid.to_world(_body_middles(labels, solid, grid))
    steps_mm = np.linalg.norm(np.diff(middles, axis=0), axis=1)
    if len(middles) < _FEWEST_BODIES or steps_mm.min() < _NEAREST_MM:
        return None
    curve = _along(middles)
    above, below = curve[0] - curve[8], curve[-1] - curve[-9]
    beyond = np.arange(STEP_MM, _BEYOND_MM + STEP_MM, STEP_MM)[:, None]
    whole = np.concatenate(
        (
            curve[0] + beyond[::-1] * above / np.linalg.norm(above),
            curve,
            curve[-1] + beyond * below / np.linalg.norm(below),
        )
    )
    smooth = ndimage.gaussian_filter1d(whole, _SMOOTH_MM / STEP_MM, axis=0, mode="nearest")
    points = _along(smooth)
    down = _unit(np.gradient(points, axis=0))
    front = np.array([0.0, 1.0, 0.0])  # anterior, in RAS+
    forwards = _unit(front - down * down[:, 1:2])
    return Column(points, forwards, np.cross(forwards, down))


def _body_middles(
    labels: NDArray[np.uint8], solid: NDArray[np.bool_], grid: Geometry
) -> FloatArray:
    """Voxel positions (levels, 3) from top to bottom."""
    (box,) = ndimage.find_objects(solid.astype(np.uint8)) or (None,)
    if box is None:
        return np.empty((0, 3))
    near = labels[box]
    depth = ndimage.distance_transform_edt(solid[box], sampling=grid.spacing_mm)
    start = [part.start for part in box]
    middles = []
    for label in _WITH_BODIES:
        own = np.where(near == label, depth, 0.0)
        if own.any():
            middles.append(np.median(np.argwhere(own >= _DEEP * own.max()), axis=0) + start)
    return np.array(middles, dtype=np.float64).reshape(-1, 3)


def _along(points_mm: FloatArray) -> FloatArray:
    """Points ``STEP_MM`` apart on the curve through given ones."""
    steps = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
    lengths = np.concatenate(([0.0], np.cumsum(steps)))
    return np.asarray(PchipInterpolator(lengths, points_mm)(np.arange(0.0, lengths[-1], STEP_MM)))


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
