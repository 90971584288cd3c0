"""Maps over vertebrae, laid on a plane through the study: heat of fracture, or sensitivity."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

import cspine_zoo as cz
from palette import rgb
from plane import SIDE_PX, View

Kind = Literal["fracture", "sensitivity"]

RAMPS: Final[Mapping[Kind, tuple[str, ...]]] = {
    # Stops of matplotlib's "inferno" and "viridis" (Smith and van der Walt, 2015) from the middle
    # up: as bright as bone or brighter, in order of lightness, and one is never taken for the
    # other by readers with any common colour blindness.
    "fracture": ("#781C6D", "#CF4446", "#FB9A06", "#FCFFA4"),
    "sensitivity": ("#31688E", "#1F9E89", "#6ECE58", "#FDE725"),
}
_STEP_PX: Final = 2
"""Maps are read at every second pixel: that is still finer than their own voxels, and four times
as quick."""
_SIDE: Final = SIDE_PX // _STEP_PX
_SMOOTH: Final = Image.Resampling.BILINEAR


class Spread(Protocol):
    """Values of one vertebra and where they lie: a ``SensitivityMap`` is one."""

    @property
    def values(self) -> NDArray[np.float32]:
        """(slices, rows, columns), 0 to 1."""

    @property
    def geometry(self) -> cz.Geometry:
        """Where column, row and slice, in this order, lie in the patient."""


@dataclass(frozen=True, eq=False)
class Region:
    """Values of one vertebra and where they lie."""

    values: NDArray[np.float32]
    geometry: cz.Geometry


@dataclass(frozen=True, eq=False)
class Layer:
    """Maps of one kind, painted together.

    Attributes:
        name: tells this layer from others over the same study.
        kind: what they mean, and so their colours.
        regions: one a vertebra.
        opacity: 0 to 1, of a value of 1; lower values are fainter in proportion.
    """

    name: str
    kind: Kind
    regions: Sequence[Spread]
    opacity: float


def paint_layer(square: Image.Image, view: View, layer: Layer) -> Image.Image:
    """The square picture of a view with a layer blended into it."""
    shown = np.zeros((_SIDE, _SIDE), dtype=np.float32)
    for region in layer.regions if layer.opacity > 0 else ():
        _lay(shown, view, region)
    if not shown.any():
        return square
    value = Image.fromarray((shown * 255).astype(np.uint8)).resize(square.size, _SMOOTH)
    colours = value.copy()
    colours.putpalette(_palette(layer.kind))
    weight = value.point([round(step * layer.opacity) for step in range(256)])
    return Image.composite(colours.convert("RGB"), square, weight)


@cache
def _palette(kind: Kind) -> bytes:
    """Colours of the values 0 to 255."""
    stops = np.array([rgb(colour) for colour in RAMPS[kind]], dtype=np.float64)
    places = np.linspace(0, 255, len(stops))
    channels = [np.interp(np.arange(256), places, stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8).tobytes()


def _lay(shown: NDArray[np.float32], view: View, region: Spread) -> None:
    """Put a region's values into the part of the picture that it covers; the higher one stays."""
    size = region.geometry.shape
    corners = list(itertools.product(*((-0.5, count - 0.5) for count in size)))
    voxels = view.geometry.to_voxel(region.geometry.to_world(np.array(corners)))
    px = view.to_px(voxels) / _STEP_PX
    (left, top), (right, bottom) = (
        np.clip(np.floor(px.min(axis=0)), 0, _SIDE).astype(int),
        np.clip(np.ceil(px.max(axis=0)), 0, _SIDE).astype(int),
    )
    # All of it is linear: the voxel of the region under a pixel follows from three pixels.
    three = np.array([(left + 0.5, top + 0.5), (left + 1.5, top + 0.5), (left + 0.5, top + 1.5)])
    points = view.geometry.to_world(view.to_voxel(three * _STEP_PX))
    start, right_px, down_px = region.geometry.to_voxel(points)
    x, y = np.arange(right - left), np.arange(bottom - top)[:, None]
    column, row, place = (
        start[axis] + x * (right_px - start)[axis] + y * (down_px - start)[axis]
        for axis in range(3)
    )
    inside = np.ones((bottom - top, right - left), dtype=np.bool_)
    for at, count in zip((column, row, place), size, strict=True):
        inside &= np.abs(at - (count - 1) / 2) <= count / 2
    if not inside.any():
        return
    # Beyond the centres of its outermost voxels, up to their faces, a map stays what it is there.
    values = map_coordinates(region.values, [place, row, column], order=1, mode="nearest")
    part = shown[top:bottom, left:right]
    np.maximum(part, np.where(inside, values, 0), out=part)
