"""A sagittal and an axial cut through one vertebra, with the truth drawn on them."""

from __future__ import annotations

import base64
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates

from cspine_zoo.anatomy import LABEL_OF, LEVEL_OF, THORACIC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.read import read_ct
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import StudyRejected
from cspine_zoo.evaluation.evaluated import Evaluated
from cspine_zoo.evaluation.findings import Points, true_fractures
from cspine_zoo.results import Point
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.masks import read_label_map

Bytes = NDArray[np.uint8]

_log = logging.getLogger(__name__)

_WINDOW_HU: Final = (-500.0, 1300.0)  # level 400, width 1800: the usual preset for bone
_PIXEL_MM: Final = 0.4
_AXIAL_MM: Final = (110.0, 110.0)
_SAGITTAL_MM: Final = (110.0, 170.0)
_FORWARD_MM: Final = 8.0  # a centroid lies in the canal; the bodies lie before it
_QUALITY: Final = 80

# Paul Tol, "Colour Schemes" (SRON technical note, 2021), "light": neighbours in most contrast.
_LEVEL_COLOURS: Final = {
    1: (119, 170, 221),
    2: (238, 136, 102),
    3: (68, 187, 153),
    4: (238, 221, 136),
    5: (255, 170, 187),
    6: (153, 221, 255),
    7: (187, 204, 51),
    THORACIC: (221, 221, 221),
}
_FRACTURE: Final = (255, 40, 40)
_CROSS: Final = (255, 235, 59)


@dataclass(frozen=True)
class Pictures:
    """Two cuts through one vertebra as ``data:`` addresses.

    Attributes:
        sagittal: anterior on the left, the head up.
        axial: the patient's right on the left, anterior up.
        truth: whether the true vertebrae are outlined.
        fracture: whether the true fracture is outlined.
    """

    sagittal: str
    axial: str
    truth: bool
    fracture: bool


def draw_worst(evaluated: Evaluated) -> dict[int, Pictures | str]:
    """Pictures of the worst studies by index, or the code of the error that there was.

    A reason in words can name a file, and a file's name a patient.
    """
    (first, *_) = evaluated.models.values()
    drawn: dict[int, Pictures | str] = {}
    for mistake in evaluated.worst():
        row, record = evaluated.rows[mistake.study], first.records[mistake.study]
        try:
            drawn[mistake.study] = draw_vertebra(
                row, mistake.level, record.centroid_mm(mistake.level)
            )
        except StudyRejected as error:
            drawn[mistake.study] = error.code
    return drawn


def draw_vertebra(row: StudyRow, level: str, centroid_mm: Point | None) -> Pictures:
    """Cut a study through ``level``: through its fracture if it is marked, else its middle.

    True vertebrae are outlined in colours, the true fracture in red; a cross marks the predicted
    centre. The study is read anew.

    Args:
        row: the study.
        level: C1 to C7.
        centroid_mm: the predicted centre of the vertebra, or None.

    Raises:
        StudyRejected: the study cannot be read, or nobody says where the vertebra is.
    """
    ct = read_ct(row.images)
    labels, marks = (_labels(path, ct.geometry) for path in (row.segmentation, row.fractures))
    middle = _middle(labels, level, ct.geometry, centroid_mm)
    fracture = _of_level(marks, level, ct.geometry)
    if fracture is None and marks is None and row.level(level):
        fracture = _nearest_box(row, ct.geometry, middle)
    at = middle if fracture is None else _nearest(fracture, fracture.mean(axis=0))
    if at is None:
        raise StudyRejected("vertebra_unknown", f"nobody says where {level} is.", file=row.uid)
    painter = _Painter(ct, labels, marks, centroid_mm)
    right, front, up = np.eye(3)
    body = at + _FORWARD_MM * front
    return Pictures(
        sagittal=painter.cut(body, -front, -up, _SAGITTAL_MM, names=True),
        axial=painter.cut(body, -right, -front, _AXIAL_MM, names=False),
        truth=labels is not None,
        fracture=marks is not None,
    )


def _labels(path: Path | None, geometry: Geometry) -> Bytes | None:
    """A label map of the truth; one that cannot be read costs its outlines only."""
    if path is None:
        return None
    try:
        return read_label_map(path, geometry)
    except StudyRejected as error:
        _log.warning("%s", error)
        return None


def _middle(
    labels: Bytes | None, level: str, geometry: Geometry, centroid_mm: Point | None
) -> NDArray[np.float64] | None:
    points = _of_level(labels, level, geometry)
    if points is not None:
        return np.asarray(points.mean(axis=0))
    return None if centroid_mm is None else np.asarray(centroid_mm, dtype=np.float64)


def _of_level(labels: Bytes | None, level: str, geometry: Geometry) -> Points | None:
    """Points of the voxels of ``level``; None without any."""
    if labels is None:
        return None
    voxels = np.argwhere(labels == LABEL_OF[level])
    return geometry.to_world(voxels.astype(np.float64)) if len(voxels) else None


def _nearest_box(
    row: StudyRow, geometry: Geometry, middle: NDArray[np.float64] | None
) -> Points | None:
    """Boxes name no level: those nearest in height are taken to be this one's."""
    boxed = true_fractures(row, geometry) or []
    if not boxed or middle is None:
        return None
    return min(boxed, key=lambda points: abs(float(points[:, 2].mean() - middle[2])))


def _nearest(points: Points, to: NDArray[np.float64]) -> NDArray[np.float64]:
    """A point of the fracture itself: the mean of a curved one lies beside it."""
    nearest: NDArray[np.float64] = points[np.argmin(np.linalg.norm(points - to, axis=1))]
    return nearest


@dataclass(frozen=True, eq=False)
class _Painter:
    ct: CTVolume
    labels: Bytes | None
    fractures: Bytes | None
    centroid_mm: Point | None

    def cut(
        self,
        centre: NDArray[np.float64],
        across: NDArray[np.float64],
        down: NDArray[np.float64],
        size_mm: tuple[float, float],
        *,
        names: bool,
    ) -> str:
        """The plane through ``centre`` whose columns run ``across`` and whose rows run ``down``."""
        width, height = (round(mm / _PIXEL_MM) for mm in size_mm)
        x = (np.arange(width) - (width - 1) / 2) * _PIXEL_MM
        y = (np.arange(height) - (height - 1) / 2) * _PIXEL_MM
        world = centre + x[None, :, None] * across + y[:, None, None] * down
        voxels = np.moveaxis(self.ct.geometry.to_voxel(world), -1, 0)
        low, high = _WINDOW_HU
        hu = map_coordinates(
            self.ct.voxels, voxels, output=np.float32, order=1, mode="constant", cval=low
        )
        grey = ((hu - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
        pixels = np.repeat(grey[..., None], 3, axis=2)
        if self.labels is not None:
            shown = map_coordinates(self.labels, voxels, order=0, mode="constant")
            for label, colour in _LEVEL_COLOURS.items():
                pixels[_outline(shown == label)] = colour
        if self.fractures is not None:
            broken = map_coordinates(self.fractures, voxels, order=0, mode="constant") > 0
            pixels[_outline(broken)] = _FRACTURE
        picture = Image.fromarray(pixels)
        if self.labels is not None and names:
            _name_levels(picture, shown)
        if self.centroid_mm is not None:
            offset = np.asarray(self.centroid_mm) - centre
            _cross(picture, float(offset @ across), float(offset @ down))
        return _data_uri(picture)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch its outside: the bone within stays to be seen."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


def _name_levels(picture: Image.Image, labels: NDArray[Any]) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for label, level in LEVEL_OF.items():
        rows, columns = np.nonzero(labels == label)
        if len(rows):
            place = (float(columns.mean()), float(rows.mean()))
            draw.text(
                place,
                level,
                _LEVEL_COLOURS[label],
                font,
                "mm",
                stroke_width=2,
                stroke_fill=(0,) * 3,
            )


def _cross(picture: Image.Image, across_mm: float, down_mm: float) -> None:
    draw, arm = ImageDraw.Draw(picture), 5
    x = picture.width / 2 + across_mm / _PIXEL_MM
    y = picture.height / 2 + down_mm / _PIXEL_MM
    draw.line((x - arm, y, x + arm, y), fill=_CROSS)
    draw.line((x, y - arm, x, y + arm), fill=_CROSS)


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    # Without subsampling: outlines are one pixel wide, and their colour is what they say.
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
