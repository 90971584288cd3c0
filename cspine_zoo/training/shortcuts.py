"""Crops without the fracture: what a classifier learns from them, it learns from a shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.training.records import VertebraRecord

_GREY: Final = 128
_MASK: Final = "mask"
_REACH: Final = (2, 1, 1)
"""Slices and cells around the fracture that still show it: neighbouring slices are channels, and
a blurred edge reaches into the next cell."""


def mask_only(records: Sequence[VertebraRecord], channels: Sequence[str]) -> list[VertebraRecord]:
    """The same vertebrae with nothing to see but their masks.

    Args:
        records: of any kind.
        channels: of their images.
    """
    shown = [number for number, name in enumerate(channels) if name != _MASK]
    blind = []
    for record in records:
        images = record.images.copy()
        images[:, shown] = _GREY
        blind.append(replace(record, images=images))
    return blind


def placebo(records: Sequence[VertebraRecord], channels: Sequence[str]) -> list[VertebraRecord]:
    """Broken vertebrae with the voxels of their fractures replaced by those of their whole twins.

    Masks stay as they are. Vertebrae without a twin are left out.

    Args:
        records: vertebrae with their twins.
        channels: of their images.
    """
    by_name = {(record.study, record.level): record for record in records}
    shown = [number for number, name in enumerate(channels) if name != _MASK]
    healed = []
    for record in records:
        twin = by_name.get((record.twin, record.level))
        if twin is None:
            continue
        if record.label:
            images = record.images.copy()
            where = _fractured_pixels(record.fracture_map, images.shape[-1])
            for channel in shown:
                images[:, channel][where] = twin.images[:, channel][where]
            record = replace(record, images=images)
        healed.append(record)
    return healed


def _fractured_pixels(cells: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Pixels (S, size, size) in or near a cell with fracture."""
    around = np.ones([2 * reach + 1 for reach in _REACH], bool)
    near = ndimage.binary_dilation(cells > 0, around)
    pick = np.arange(size) * cells.shape[-1] // size
    return np.asarray(near[:, pick][:, :, pick])
