"""Points of a grid in the scene, and fields that are computed coarsely and interpolated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.frame import Frame

Field = Callable[[Tensor], Tensor]

_CPU: Final = torch.device("cpu")

REFINEMENT: Final = 4
"""Far from a surface, distances are computed this many times more coarsely."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """A voxel grid as seen from the scene.

    Attributes:
        geometry: the grid in the world.
        pose: frame of the scene in the world.
        device: where points and fields are computed.
    """

    geometry: Geometry
    pose: Frame
    device: torch.device = _CPU

    def points(
        self, start: np.ndarray, stop: np.ndarray, step: np.ndarray
    ) -> tuple[Tensor, tuple[int, int, int]]:
        """Scene points (3, n) of every ``step``-th voxel from ``start`` to at least ``stop``."""
        count = [int(np.ceil((b - a) / s)) + 1 for a, b, s in zip(start, stop, step, strict=True)]
        axes = [
            a + s * torch.arange(n, dtype=torch.float32, device=self.device)
            for a, s, n in zip(start, step, count, strict=True)
        ]
        matrix = self.pose.rotation.T @ self.geometry.affine[:3, :3]
        offset = self.pose.rotation.T @ (self.geometry.affine[:3, 3] - self.pose.origin)
        linear = torch.tensor(matrix, dtype=torch.float32, device=self.device)
        i, j, k = (axis * column[:, None] for axis, column in zip(axes, linear.T, strict=True))
        points = i[:, :, None, None] + j[:, None, :, None] + k[:, None, None, :]
        shift = torch.tensor(offset, dtype=torch.float32, device=self.device)
        points = points + shift[:, None, None, None]
        return points.reshape(3, -1), (count[0], count[1], count[2])

    def at(self, voxels: Tensor) -> Tensor:
        """Scene points (3, n) of single voxels (n, 3)."""
        matrix = self.pose.rotation.T @ self.geometry.affine[:3, :3]
        offset = self.pose.rotation.T @ (self.geometry.affine[:3, 3] - self.pose.origin)
        linear = torch.tensor(matrix, dtype=torch.float32, device=voxels.device)
        shift = torch.tensor(offset, dtype=torch.float32, device=voxels.device)
        return linear @ voxels.T.to(torch.float32) + shift[:, None]

    def sample(
        self, field: Field, start: np.ndarray, stop: np.ndarray, resolution_mm: float
    ) -> Tensor:
        """Distance field on the voxels from ``start`` up to ``stop``.

        It is computed about every ``resolution_mm`` near the surface and ``REFINEMENT`` times as
        coarsely elsewhere, and interpolated in between.
        """
        spacing = np.asarray(self.geometry.spacing_mm)
        step = np.maximum(1, np.round(resolution_mm / spacing)).astype(int)
        points, count = self.points(start, stop - 1, step)
        values = self._far(field, start, stop, step, count).reshape(-1)
        margin = 0.9 * REFINEMENT * float((step * spacing).max())
        if float(values.min()) > margin:  # nothing of it on this grid
            return values.new_full(tuple(stop - start), margin)
        near = (values.abs() < margin).nonzero()[:, 0]
        if len(near):
            values[near] = field(points[:, near])
        size = stop - start
        fine = _upsampled(values.reshape(count), step)
        return fine[: size[0], : size[1], : size[2]]

    def _far(
        self,
        field: Field,
        start: np.ndarray,
        stop: np.ndarray,
        step: np.ndarray,
        count: tuple[int, int, int],
    ) -> Tensor:
        points, coarse = self.points(start, stop - 1 + step * REFINEMENT, step * REFINEMENT)
        values = _upsampled(field(points).reshape(coarse), np.full(3, REFINEMENT))
        return values[: count[0], : count[1], : count[2]].contiguous()

    def block(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Voxel range that covers a scene box, clipped to the grid; None outside."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(
            -1, 3
        )
        voxels = self.geometry.to_voxel(self.pose.to_scene(corners))
        start = np.maximum(np.floor(voxels.min(0)).astype(int), 0)
        stop = np.minimum(np.ceil(voxels.max(0)).astype(int) + 1, self.geometry.shape)
        return (start, stop) if (stop - start > 1).all() else None


def _upsampled(values: Tensor, step: np.ndarray) -> Tensor:
    size = [int((n - 1) * s + 1) for n, s in zip(values.shape, step, strict=True)]
    if list(values.shape) == size:
        return values
    return functional.interpolate(
        values[None, None], size=size, mode="trilinear", align_corners=True
    )[0, 0]
