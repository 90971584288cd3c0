"""A plane through a study, and where its voxels stand in the square picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

import cspine_zoo as cz

Plane = Literal["axial", "coronal", "sagittal"]
Voxel = tuple[int, int, int]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First voxel and the one behind the last, along I, J and K."""
Points = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)

SIDE_PX: Final = 512
"""A square for all three planes, so that they and their sliders stand in line."""

# Axes of the array that run along the picture's columns and rows. All three run backwards, so
# that the picture is radiological: the patient's right is on the left, anterior is on top of an
# axial and on the left of a sagittal slice, and the head is up.
_AXES: Final[Mapping[Plane, tuple[int, int]]] = {
    "axial": (0, 1),
    "coronal": (0, 2),
    "sagittal": (1, 2),
}
LETTERS: Final[Mapping[Plane, tuple[str, str, str, str]]] = {
    # at the left, right, upper and lower edge
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}


def across(plane: Plane) -> int:
    """The array axis that a plane's slider moves along."""
    return 3 - sum(_AXES[plane])


@dataclass(frozen=True)
class View:
    """One plane through a point of a study, as a picture with sides in the patient's proportion.

    Attributes:
        plane: which way to cut.
        geometry: grid of the study.
        at: the point, in voxels.
        near: the part of the study to show; None for all of it.
    """

    plane: Plane
    geometry: cz.Geometry
    at: Voxel
    near: Box | None = None

    @cached_property
    def box(self) -> Box:
        """What is shown of the study: the wanted part, stretched where the point has left it."""
        whole = tuple((0, size) for size in self.geometry.shape)
        i, j, k = (
            (max(0, min(start, place)), min(size, max(stop, place + 1)))
            for (start, stop), size, place in zip(
                self.near or whole, self.geometry.shape, self.at, strict=True
            )
        )
        return i, j, k

    @property
    def slice_index(self) -> int:
        """Which slice of the plane it is, from 0."""
        return self.at[across(self.plane)]

    @cached_property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the picture within its square."""
        width, height = (
            (self.box[axis][1] - self.box[axis][0]) * self.geometry.spacing_mm[axis]
            for axis in _AXES[self.plane]
        )
        scale = SIDE_PX / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    @cached_property
    def corner_px(self) -> tuple[int, int]:
        """Where the picture begins in its square."""
        return (SIDE_PX - self.size_px[0]) // 2, (SIDE_PX - self.size_px[1]) // 2

    def cut(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """The slice of an array on the study's grid, as it stands in the picture."""
        i, j, k = (
            self.slice_index if axis == across(self.plane) else slice(*extent)
            for axis, extent in enumerate(self.box)
        )
        return array[i, j, k].T[::-1, ::-1]

    def to_px(self, voxels: Points | Sequence[float]) -> Points:
        """Places in the square, (..., 2), of voxels (..., 3) projected onto the plane."""
        places = np.asarray(voxels, dtype=np.float64)
        axes = list(_AXES[self.plane])
        ends = np.array([self.box[axis][1] - 0.5 for axis in axes])
        return self.corner_px + (ends - places[..., axes]) * self._px_per_voxel

    def to_voxel(self, px: Points | Sequence[float]) -> Points:
        """Points of the plane, as fractional voxels (..., 3), at places (..., 2) of the square."""
        places = np.asarray(px, dtype=np.float64)
        axes = list(_AXES[self.plane])
        ends = np.array([self.box[axis][1] - 0.5 for axis in axes])
        voxels = np.full((*places.shape[:-1], 3), float(self.slice_index))
        voxels[..., axes] = ends - (places - self.corner_px) / self._px_per_voxel
        return voxels

    @cached_property
    def _px_per_voxel(self) -> Points:
        sizes = [self.box[axis][1] - self.box[axis][0] for axis in _AXES[self.plane]]
        return np.asarray(self.size_px, dtype=np.float64) / sizes
