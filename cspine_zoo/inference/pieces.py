"""Connected pieces of what the network painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.anatomy import THORACIC
from cspine_zoo.ct.geometry import FloatArray, Geometry
from cspine_zoo.inference.chain import Instance

_EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)
"""Corners connect: arches are a voxel thin on the network's grid."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected piece of one label, with its voxels.

    Attributes:
        instance: label, size and centroid.
        points_mm: (n, 3) world positions of its voxels.
        top_mm: world z of its highest voxel.
        bottom_mm: world z of its lowest voxel.
    """

    instance: Instance
    points_mm: FloatArray
    top_mm: float
    bottom_mm: float

    @property
    def middle_mm(self) -> float:
        """World z halfway up."""
        return (self.top_mm + self.bottom_mm) / 2


def find_pieces(
    raw: NDArray[np.uint8], geometry: Geometry
) -> tuple[NDArray[np.int32], list[Piece]]:
    """Split every vertebra label into connected pieces.

    Args:
        raw: uint8 labels; only 1-8 matter.
        geometry: their grid.

    Returns:
        The number of each voxel's piece, 0 outside, and the pieces in the order of their
        numbers, which begin at 1.
    """
    numbers = np.zeros(raw.shape, np.int32)
    labels = [0]
    for index, box in enumerate(ndimage.find_objects(raw, max_label=THORACIC)):
        if box is None:
            continue
        parts, count = ndimage.label(raw[box] == index + 1, _EVERY_NEIGHBOUR)
        inside = parts > 0
        numbers[box][inside] = parts[inside] + (len(labels) - 1)
        labels.extend([index + 1] * count)
    voxels = np.argwhere(numbers)
    owner = numbers[tuple(voxels.T)]
    order = np.argsort(owner, kind="stable")
    points = geometry.to_world(voxels[order].astype(np.float64))
    ends = np.cumsum(np.bincount(owner, minlength=len(labels)))
    pieces = []
    for number in range(1, len(labels)):
        own = points[ends[number - 1] : ends[number]]
        x, y, z = own.mean(axis=0)
        volume = len(own) * geometry.voxel_mm3
        instance = Instance(number, labels[number], volume, (float(x), float(y), float(z)))
        pieces.append(Piece(instance, own, float(own[:, 2].max()), float(own[:, 2].min())))
    return numbers, pieces
