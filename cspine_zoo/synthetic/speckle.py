"""Random fields that are asked for at single points, such as those within one bone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

_TILE: Final = 32
"""Nodes along each side of a tile; the field repeats beyond it, further than a bone is wide at
all but the finest scales."""

_INTERPOLATED_SD: Final = (2.0 / 3.0) ** 1.5
"""Standard deviation that white noise of 1 keeps under trilinear interpolation."""


@dataclass(frozen=True, eq=False)
class Speckle:
    """Gaussian noise of mean 0 and variance about 1, smooth below ``scale_mm``.

    Attributes:
        tile: (n, n, n) values at the nodes; its first and last planes are the same.
        axes: (3, 3) from mm to nodes, turned at random so that no axis of the grid shows.
        scale_mm: distance of the nodes; three lengths where it is stretched.
    """

    tile: Tensor
    axes: Tensor
    scale_mm: tuple[float, float, float]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, scale_mm: float | tuple[float, float, float]
    ) -> Speckle:
        """A field; one that is stretched along an axis keeps that axis."""
        scales = (scale_mm,) * 3 if isinstance(scale_mm, float) else scale_mm
        white = rng.standard_normal((_TILE, _TILE, _TILE), dtype=np.float32)
        tile = np.pad(white / _INTERPOLATED_SD, (0, 1), mode="wrap")
        turn = Rotation.random(random_state=rng).as_matrix() if len(set(scales)) == 1 else np.eye(3)
        axes = turn / np.array(scales)[:, None]
        return cls(torch.from_numpy(tile), torch.tensor(axes, dtype=torch.float32), scales)

    def at(self, points: Tensor) -> Tensor:
        """Values (n,) at points (3, n) in mm."""
        nodes = self.axes.to(points.device) @ points
        unit = (nodes / _TILE).frac_()
        unit = torch.where(unit < 0, unit + 1, unit) * 2 - 1
        values: Tensor = functional.grid_sample(
            self.tile.to(points.device)[None, None],
            unit.T[None, None, None],
            align_corners=True,
        ).reshape(-1)
        return values

    def visible(self, spacing_mm: tuple[float, float, float]) -> float:
        """Share of the deviation that is left when voxels of this size average over it."""
        shares = [min(1.0, s / v) for s, v in zip(self.scale_mm, spacing_mm, strict=True)]
        return math.sqrt(math.prod(shares))
