"""Slices of a CT as small pictures: window, vertebrae, and maps over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

import cspine_zoo as cz
from heat import Layer, paint_layer
from marks import Boxed, draw_findings, draw_letters
from palette import LEVEL_COLOURS, rgb
from plane import SIDE_PX, Box, View

Bytes2D = NDArray[np.uint8]

WINDOWS: Final[Mapping[str, tuple[float, float]]] = {
    # level and width in HU: the usual presets of CT work stations for bone and for soft tissue
    "Bone": (400.0, 1800.0),
    "Soft tissue": (40.0, 400.0),
}

_LEVEL_PALETTE: Final = bytes(
    channel for label in range(256) for channel in rgb(LEVEL_COLOURS.get(label, "#000000"))
)
_QUALITIES: Final = (82, 70, 55, 40)
PICTURE_BYTES: Final = 28 * 1024
"""Aim for one picture: a step of a slider may send 40 KiB, the page around the picture included.
JPEG gets coarser where a noisy slice would be larger."""


@dataclass(frozen=True)
class Look:
    """How slices are shown.

    Attributes:
        window: a key of ``WINDOWS``.
        opacity: of the vertebra overlay, 0 to 1.
        box: the part of the study to show; None for all of it.
    """

    window: str = "Bone"
    opacity: float = 0.35
    box: Box | None = None


@dataclass(frozen=True)
class Over:
    """What models say about places, to be drawn over the slices.

    Attributes:
        layers: maps, the first one below.
        findings: regions with their scores.
    """

    layers: tuple[Layer, ...] = ()
    findings: tuple[Boxed, ...] = ()


NOTHING: Final = Over()


def plane_jpeg(
    ct: cz.CTVolume,
    labels: NDArray[np.uint8] | None,
    view: View,
    look: Look,
    over: Over = NOTHING,
) -> bytes:
    """One slice as a square JPEG, without crosshair: what stays while others move is not resent.

    Args:
        ct: the study.
        labels: vertebra labels on the study's grid, or None for no overlay.
        view: the plane and what of it is shown.
        look: window and opacity.
        over: maps and findings.
    """
    grey = windowed(view.cut(ct.voxels), look.window)
    marks = None if labels is None else view.cut(labels)
    picture = _blend(grey, marks, view.size_px, look.opacity)
    square = Image.new("RGB", (SIDE_PX, SIDE_PX))
    square.paste(picture, view.corner_px)
    for layer in over.layers:
        square = paint_layer(square, view, layer)
    draw_findings(square, view, over.findings)
    draw_letters(square, view.plane)
    return _jpeg(square, PICTURE_BYTES)


@dataclass(frozen=True)
class Strip:
    """Where the sagittal picture beside the bars runs.

    Attributes:
        path_mm: world points of the vertebra centres from the top down; the cut follows their x.
        bottom_mm: world z of the lower edge.
        top_mm: world z of the upper edge.
        width_mm: anterior to posterior, centred on the points.
    """

    path_mm: Sequence[tuple[float, float, float]]
    bottom_mm: float
    top_mm: float
    width_mm: float = 220.0


_STRIP_MM: Final = 0.4
"""Size of a pixel of the sagittal picture: a little coarser than a screen pixel beside the bars."""

_FORWARD_MM: Final = 6.0
"""Centroids lie in the canal; the middle of the picture lies a little before it, so that a narrow
screen keeps the vertebral bodies."""


def strip_jpeg(
    ct: cz.CTVolume, labels: NDArray[np.uint8] | None, strip: Strip, look: Look
) -> bytes:
    """A sagittal cut that follows the vertebra centres from side to side, exactly as high as asked.

    A neck that leans or turns would leave a flat sagittal plane; this one stays in the middle of
    each vertebra. Outside the scan it is air.
    """
    n_rows = round((strip.top_mm - strip.bottom_mm) / _STRIP_MM)
    n_columns = round(strip.width_mm / _STRIP_MM)
    z = strip.top_mm - (np.arange(n_rows) + 0.5) * _STRIP_MM
    points = np.array(sorted(strip.path_mm, key=lambda point: point[2]), dtype=np.float64)
    x = np.interp(z, points[:, 2], points[:, 0])
    y = (
        points[:, 1].mean()
        + _FORWARD_MM
        + strip.width_mm / 2
        - (np.arange(n_columns) + 0.5) * _STRIP_MM
    )
    world = np.stack(np.broadcast_arrays(x[:, None], y[None, :], z[:, None]), axis=-1)
    voxel = np.moveaxis(ct.geometry.to_voxel(world), -1, 0)
    hu = map_coordinates(ct.voxels, voxel, np.float32, order=1, mode="constant", cval=-1024.0)
    marks = None if labels is None else map_coordinates(labels, voxel, order=0, mode="constant")
    grey = windowed(hu, look.window)
    picture = _blend(grey, marks, (n_columns, n_rows), look.opacity)
    return _jpeg(picture)


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that a figure can hold."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def windowed(hu: NDArray[Any], window: str) -> Bytes2D:
    """HU as grey from 0 to 255 under a window of ``WINDOWS``."""
    level, width = WINDOWS[window]
    grey = (hu - (level - width / 2)) * (255 / width)
    scaled: Bytes2D = np.clip(grey, 0, 255).astype(np.uint8)
    return scaled


def _blend(
    grey: Bytes2D, marks: Bytes2D | None, size: tuple[int, int], opacity: float
) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(grey)).resize(size, Image.Resampling.BILINEAR)
    if marks is None or opacity <= 0:
        return picture.convert("RGB")
    fill = Image.fromarray(np.ascontiguousarray(marks)).resize(size, Image.Resampling.NEAREST)
    label = np.asarray(fill)
    weight = np.where(label > 0, np.uint8(255 * opacity), np.uint8(0))
    weight[_outline(label)] = round(255 * min(1.0, 0.35 + opacity))
    fill.putpalette(_LEVEL_PALETTE)
    return Image.composite(fill.convert("RGB"), picture.convert("RGB"), Image.fromarray(weight))


def _outline(label: Bytes2D) -> NDArray[np.bool_]:
    """Pixels of a label that touch another one: an edge stays visible where the fill is faint."""
    edge = np.zeros(label.shape, dtype=np.bool_)
    down, right = label[1:] != label[:-1], label[:, 1:] != label[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (label > 0)


def _jpeg(picture: Image.Image, aim_bytes: int | None = None) -> bytes:
    """The picture, in the best of the qualities that meets the aim, or in the last of them."""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        if aim_bytes is None or buffer.tell() <= aim_bytes:
            break
    return buffer.getvalue()
