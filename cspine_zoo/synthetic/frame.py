"""A frame in the scene: where a vertebra or the head is, how it is turned and scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frame:
    """A rotated, scaled frame in the scene.

    Attributes:
        origin: (3,) scene mm.
        rotation: (3, 3), columns are the frame's axes in the scene.
        scale: (3,) scene mm for one frame mm along each of its axes.
    """

    origin: Vector
    rotation: Vector
    scale: Vector

    def to_scene(self, local: Vector) -> Vector:
        """Scene points (..., 3) of frame points (..., 3)."""
        return np.asarray(local * self.scale) @ self.rotation.T + self.origin

    def to_local(self, points: Tensor) -> Tensor:
        """Frame points (3, n) of scene points (3, n)."""
        inverse = torch.as_tensor(
            (self.rotation / self.scale).T, dtype=points.dtype, device=points.device
        )
        origin = torch.as_tensor(self.origin, dtype=points.dtype, device=points.device)
        return inverse @ (points - origin[:, None])
