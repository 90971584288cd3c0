"""Connected pieces of what the network painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.anatomy import THORACIC
from cspine_zoo.ct.geometry import FloatArray, Geometry
from cspine_zoo.inference.chain import Instance

_EVERY_NEIGHBOUR: Final = np.ones((3, 3, 3), np.bool_)
"""Corners connect: arches are a voxel thin on the network's grid."""

SPECK: Final = -1
_LEAST_VOXELS: Final = 27
"""A smaller piece is a speck. A confused network paints tens of thousands of them: they are not
worth an object each."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected piece of one label, with its voxels.

    Attributes:
        instance: label, size and centroid.
        points_mm: (n, 3) world positions of its voxels.
        low_mm: lowest x, y and z among them.
        high_mm: highest x, y and z among them.
    """

    instance: Instance
    points_mm: FloatArray
    low_mm: FloatArray
    high_mm: FloatArray


def find_pieces(
    raw: NDArray[np.uint8], geometry: Geometry
) -> tuple[NDArray[np.int32], list[Piece]]:
    """Split every vertebra label into connected pieces.

    Args:
        raw: uint8 labels; only 1-8 matter.
        geometry: their grid.

    Returns:
        The number of each voxel's piece, 0 outside and ``SPECK`` in specks, and the pieces in
        the order of their numbers, which begin at 1.
    """
    numbers = np.zeros(raw.shape, np.int32)
    labels = [0]
    for index, box in enumerate(ndimage.find_objects(raw, max_label=THORACIC)):
        if box is None:
            continue
        parts, count = ndimage.label(raw[box] == index + 1, _EVERY_NEIGHBOUR)
        large = np.bincount(parts.ravel(), minlength=count + 1) >= _LEAST_VOXELS
        large[0] = False
        number_of = np.full(count + 1, SPECK, np.int32)
        number_of[large] = np.arange(np.count_nonzero(large)) + len(labels)
        number_of[0] = 0
        inside = parts > 0
        numbers[box][inside] = number_of[parts[inside]]
        labels.extend([index + 1] * int(np.count_nonzero(large)))
    voxels = np.argwhere(numbers > 0)
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
        pieces.append(Piece(instance, own, own.min(axis=0), own.max(axis=0)))
    return numbers, pieces
