"""Slices of a CT as small pictures: window, vertebra overlay, crosshair, orientation letters."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates

import cspine_zoo as cz
from palette import LEVEL_COLOURS, rgb

Plane = Literal["axial", "coronal", "sagittal"]
Voxel = tuple[int, int, int]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First voxel and the one behind the last, along I, J and K."""
Bytes2D = NDArray[np.uint8]

WINDOWS: Final[Mapping[str, tuple[float, float]]] = {
    # level and width in HU: the usual presets of CT work stations for bone and for soft tissue
    "Bone": (400.0, 1800.0),
    "Soft tissue": (40.0, 400.0),
}

# Axes of the array that run along the picture's columns and rows. All three run backwards, so
# that the picture is radiological: the patient's right is on the left, anterior is on top of an
# axial and on the left of a sagittal slice, and the head is up.
_AXES: Final[Mapping[Plane, tuple[int, int]]] = {
    "axial": (0, 1),
    "coronal": (0, 2),
    "sagittal": (1, 2),
}
_LETTERS: Final[Mapping[Plane, tuple[str, str, str, str]]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
_SIDE_PX: Final = 512
_QUALITY: Final = 82
_CROSSHAIR: Final = (255, 235, 59)


@dataclass(frozen=True)
class Look:
    """How slices are shown.

    Attributes:
        window: a key of ``WINDOWS``.
        opacity: of the vertebra overlay, 0 to 1.
        crosshair: whether its lines are drawn.
        box: the part of the study to show; None for all of it.
    """

    window: str = "Bone"
    opacity: float = 0.35
    crosshair: bool = True
    box: Box | None = None


def across(plane: Plane) -> int:
    """The array axis that a plane's slider moves along."""
    return 3 - sum(_AXES[plane])


def plane_jpeg(
    ct: cz.CTVolume, labels: NDArray[np.uint8] | None, plane: Plane, at: Voxel, look: Look
) -> bytes:
    """One slice through ``at`` as a JPEG, its sides in the proportion of the patient.

    Args:
        ct: the study.
        labels: vertebra labels on the study's grid, or None for no overlay.
        plane: which way to cut.
        at: crosshair, in voxels.
        look: window, opacity and crosshair.
    """
    columns, rows = _AXES[plane]
    box = _shown(ct.geometry.shape, at, look.box)
    cut: list[Any] = [slice(*extent) for extent in box]
    cut[across(plane)] = at[across(plane)]
    grey = windowed(_upright(ct.hu[tuple(cut)]), look.window)
    marks = None if labels is None else _upright(labels[tuple(cut)])
    spacing = ct.geometry.spacing_mm
    height_mm, width_mm = grey.shape[0] * spacing[rows], grey.shape[1] * spacing[columns]
    scale = _SIDE_PX / max(height_mm, width_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    picture = _blend(grey, marks, size, look.opacity)
    if look.crosshair:
        x = (box[columns][1] - 0.5 - at[columns]) * spacing[columns] * scale
        y = (box[rows][1] - 0.5 - at[rows]) * spacing[rows] * scale
        _draw_crosshair(picture, x, y)
    # A square for all three planes, so that they and their sliders stand in line.
    square = Image.new("RGB", (_SIDE_PX, _SIDE_PX))
    square.paste(picture, ((_SIDE_PX - size[0]) // 2, (_SIDE_PX - size[1]) // 2))
    _draw_letters(square, _LETTERS[plane])
    return _jpeg(square)


def _shown(shape: Voxel, at: Voxel, box: Box | None) -> Box:
    """The box within the study, stretched where the crosshair has left it."""
    i, j, k = (
        (max(0, min(start, place)), min(size, max(stop, place + 1)))
        for (start, stop), size, place in zip(
            box or ((0, shape[0]), (0, shape[1]), (0, shape[2])), shape, at, strict=True
        )
    )
    return i, j, k


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
    hu = map_coordinates(ct.hu, voxel, order=1, mode="constant", cval=-1024.0)
    marks = None if labels is None else map_coordinates(labels, voxel, order=0, mode="constant")
    grey = windowed(hu, look.window)
    picture = _blend(grey, marks, (n_columns, n_rows), look.opacity)
    return _jpeg(picture)


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that a figure can hold."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def windowed(hu: NDArray[np.floating[Any]], window: str) -> Bytes2D:
    """HU as grey from 0 to 255 under a window of ``WINDOWS``."""
    level, width = WINDOWS[window]
    grey = (hu - (level - width / 2)) * (255 / width)
    scaled: Bytes2D = np.clip(grey, 0, 255).astype(np.uint8)
    return scaled


def _upright(cut: NDArray[Any]) -> NDArray[Any]:
    """Columns of the array become columns of the picture, both running as radiology shows them."""
    return cut.T[::-1, ::-1]


def _blend(
    grey: Bytes2D, marks: Bytes2D | None, size: tuple[int, int], opacity: float
) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(grey)).resize(size, Image.Resampling.BILINEAR)
    if marks is None or opacity <= 0:
        return picture.convert("RGB")
    label = np.asarray(
        Image.fromarray(np.ascontiguousarray(marks)).resize(size, Image.Resampling.NEAREST)
    )
    colours = np.zeros((256, 3), dtype=np.float32)
    for value, colour in LEVEL_COLOURS.items():
        colours[value] = rgb(colour)
    base = np.repeat(np.asarray(picture, dtype=np.float32)[..., None], 3, axis=2)
    weight = np.where(label > 0, np.float32(opacity), np.float32(0))
    weight = np.where(_outline(label), np.float32(min(1.0, 0.35 + opacity)), weight)[..., None]
    return Image.fromarray((base * (1 - weight) + colours[label] * weight).astype(np.uint8))


def _outline(label: Bytes2D) -> NDArray[np.bool_]:
    """Pixels of a label that touch another one: an edge stays visible where the fill is faint."""
    edge = np.zeros(label.shape, dtype=np.bool_)
    down, right = label[1:] != label[:-1], label[:, 1:] != label[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (label > 0)


def _draw_crosshair(picture: Image.Image, x: float, y: float) -> None:
    """Two hair lines with a gap, so that what they point at is not covered."""
    draw, gap = ImageDraw.Draw(picture), 9
    width, height = picture.size
    for start, stop in (((0, y), (x - gap, y)), ((x + gap, y), (width, y))):
        if start[0] < stop[0]:
            draw.line((*start, *stop), fill=_CROSSHAIR)
    for start, stop in (((x, 0), (x, y - gap)), ((x, y + gap), (x, height))):
        if start[1] < stop[1]:
            draw.line((*start, *stop), fill=_CROSSHAIR)


def _draw_letters(picture: Image.Image, letters: tuple[str, str, str, str]) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(24)
    width, height = picture.size
    left, right, top, bottom = letters
    places = (
        (left, (8, height / 2), "lm"),
        (right, (width - 8, height / 2), "rm"),
        (top, (width / 2, 6), "mt"),
        (bottom, (width / 2, height - 6), "mb"),
    )
    for letter, place, anchor in places:
        draw.text(
            place, letter, (255, 255, 255), font, anchor, stroke_width=2, stroke_fill=(0, 0, 0)
        )


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
