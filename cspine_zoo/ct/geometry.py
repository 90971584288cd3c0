"""Where voxels are: shape and affine, always together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in the patient: shape and the affine to RAS+ world coordinates in mm.

    Attributes:
        shape: voxels along I, J, K.
        affine: (4, 4) matrix from voxel index (centre of the voxel) to world mm, RAS+.

    Raises:
        ValueError: the shape is not three positive sizes, or the affine is not an invertible
            homogeneous matrix.
    """

    shape: tuple[int, int, int]
    affine: FloatArray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a grid needs three positive sizes, got {self.shape}")
        if affine.shape != (4, 4) or not np.array_equal(affine[3], [0, 0, 0, 1]):
            raise ValueError("an affine is a 4 x 4 matrix with last row 0 0 0 1")
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError("an affine must be finite and invertible")
        affine.setflags(write=False)
        object.__setattr__(
            self, "shape", (int(self.shape[0]), int(self.shape[1]), int(self.shape[2]))
        )
        object.__setattr__(self, "affine", affine)

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along I, J, K."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @cached_property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @cached_property
    def orientation(self) -> str:
        """World direction that each voxel axis runs towards most, such as ``"RAS"``."""
        codes = []
        for column in closest_axes(self.affine):
            world, sign = column
            codes.append(("LR", "PA", "IS")[world][int(sign > 0)])
        return "".join(codes)

    @cached_property
    def _inverse(self) -> FloatArray:
        inverse: FloatArray = np.linalg.inv(self.affine).astype(np.float64)
        return inverse

    def to_world(self, voxels: FloatArray | Sequence[float]) -> FloatArray:
        """World coordinates in mm of voxel indices; last axis is I, J, K."""
        return np.asarray(voxels, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxel(self, world_mm: FloatArray | Sequence[float]) -> FloatArray:
        """Fractional voxel indices of world coordinates in mm; last axis is x, y, z."""
        return (
            np.asarray(world_mm, dtype=np.float64) @ self._inverse[:3, :3].T + self._inverse[:3, 3]
        )

    def cropped(self, start: Sequence[int], shape: Sequence[int]) -> Geometry:
        """The same grid, reduced or extended to the box from index ``start``."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world([float(s) for s in start])
        return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def with_spacing(self, spacing_mm: Sequence[float]) -> Geometry:
        """A grid over the same field of view with voxels of about ``spacing_mm``.

        Voxels are boxes (half-pixel convention): the outer faces stay where they are, up to the
        rounding of the last voxel, which may reach beyond the old edge by less than one voxel.
        """
        ratio = np.asarray(spacing_mm, dtype=np.float64) / np.asarray(self.spacing_mm)
        shape = np.maximum(np.ceil(np.asarray(self.shape) / ratio - 1e-3), 1).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * ratio
        affine[:3, 3] = self.to_world((ratio - 1) / 2)
        return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def closest_axes(affine: FloatArray) -> list[tuple[int, float]]:
    """For each voxel axis, the world axis it follows (each used once) and the sign along it."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    remaining = np.abs(directions)
    axes: list[tuple[int, float]] = [(0, 1.0)] * 3
    for _ in range(3):
        world, voxel = np.unravel_index(int(np.argmax(remaining)), (3, 3))
        axes[voxel] = (int(world), float(np.sign(directions[world, voxel])))
        remaining[world, :] = -1
        remaining[:, voxel] = -1
    return axes


def to_ras(
    voxels: NDArray[np.generic], affine: FloatArray
) -> tuple[NDArray[np.generic], FloatArray]:
    """Permute and flip axes until they run right, anterior, superior; nothing is interpolated.

    Returns:
        A view of ``voxels`` and the affine that keeps every voxel at its world position.
    """
    axes = closest_axes(np.asarray(affine, dtype=np.float64))
    order = [next(v for v in range(3) if axes[v][0] == world) for world in range(3)]
    ras = np.transpose(voxels, order)
    matrix = np.array(affine, dtype=np.float64)
    matrix[:3, :3] = matrix[:3, order]
    for target, source in enumerate(order):
        if axes[source][1] < 0:
            matrix[:3, 3] += matrix[:3, target] * (ras.shape[target] - 1)
            matrix[:3, target] *= -1
            ras = np.flip(ras, target)
    return ras, matrix
