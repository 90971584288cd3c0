"""Maps over vertebrae, laid on a plane through the study: heat of fracture, or sensitivity."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
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
_LEAST: Final = 0.02
"""Below this share nothing of a map would be seen, so nothing is painted."""


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


def paint_layer(picture: NDArray[np.float32], view: View, layer: Layer) -> None:
    """Blend a layer into the square picture (SIDE_PX, SIDE_PX, 3) of a view."""
    if layer.opacity <= 0:
        return
    shown = np.zeros((SIDE_PX, SIDE_PX), dtype=np.float32)
    for region in layer.regions:
        _lay(shown, view, region)
    seen = shown > _LEAST
    value = shown[seen]
    stops = np.array([rgb(colour) for colour in RAMPS[layer.kind]], dtype=np.float32)
    at = np.linspace(0, 1, len(stops))
    colours = np.stack([np.interp(value, at, stops[:, c]) for c in range(3)], axis=1)
    weight = (layer.opacity * value)[:, None]
    picture[seen] = picture[seen] * (1 - weight) + colours * weight


def _lay(shown: NDArray[np.float32], view: View, region: Spread) -> None:
    """Put a region's values into the part of the picture that it covers; the higher one stays."""
    size = region.geometry.shape
    corners = list(itertools.product(*((-0.5, count - 0.5) for count in size)))
    voxels = view.geometry.to_voxel(region.geometry.to_world(np.array(corners)))
    px = view.to_px(voxels)
    (left, top), (right, bottom) = (
        np.clip(np.floor(px.min(axis=0)), 0, SIDE_PX).astype(int),
        np.clip(np.ceil(px.max(axis=0)), 0, SIDE_PX).astype(int),
    )
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    points = view.geometry.to_world(view.to_voxel(np.stack([x, y], axis=-1)))
    column, row, place = np.moveaxis(region.geometry.to_voxel(points), -1, 0)
    inside = np.abs(place - (size[2] - 1) / 2) <= size[2] / 2
    if not inside.any():
        return
    # Beyond the centres of its outermost voxels, up to their faces, a map stays what it is there.
    values = map_coordinates(region.values, [place, row, column], order=1, mode="nearest")
    inside &= np.abs(row - (size[1] - 1) / 2) <= size[1] / 2
    inside &= np.abs(column - (size[0] - 1) / 2) <= size[0] / 2
    part = shown[top:bottom, left:right]
    np.maximum(part, np.where(inside, values, 0), out=part)
