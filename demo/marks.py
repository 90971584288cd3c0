"""Lines and letters on the picture of a plane, and the crosshair that moves over it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from palette import rgb
from plane import LETTERS, SIDE_PX, Plane, Points, View, across

Point = tuple[float, float, float]

FINDING: Final = "#7DF9FF"
"""Unlike bone, the crosshair and every colour of the heat that it stands on."""

_GAP_PX: Final = 9
"""Between the crosshair's lines and its point, so that what they point at is not covered."""

_LABEL_PX: Final = 34
"""Room above an outline that its label needs."""


class Boxed(Protocol):
    """A region with its score: a finding of ``cz.predict`` is one."""

    @property
    def level(self) -> str:
        """Such as ``"C5"``."""

    @property
    def score(self) -> float:
        """0 to 1."""

    @property
    def box_mm(self) -> tuple[Point, Point]:
        """Two corners of a box along the axes of the patient's world."""


def crosshair_lines(view: View) -> str:
    """The crosshair of a view as HTML, to be stretched over its picture."""
    x, y = (float(place) for place in view.to_px(view.at))
    (left, top), (width, height) = view.corner_px, view.size_px
    right, bottom = left + width, top + height
    lines = (
        _line("across", left, y, x - _GAP_PX - left),
        _line("across", x + _GAP_PX, y, right - x - _GAP_PX),
        _line("down", x, top, y - _GAP_PX - top),
        _line("down", x, y + _GAP_PX, bottom - y - _GAP_PX),
    )
    return "".join(lines)


def _line(way: str, left: float, top: float, length: float) -> str:
    """Lengths are shares of the picture, which is as wide as its column."""
    long_side = "width" if way == "across" else "height"
    places = ";".join(
        f"{name}:{max(0.0, px) * 100 / SIDE_PX:.2f}%"
        for name, px in (("left", left), ("top", top), (long_side, length))
    )
    return f'<i class="{way}" style="{places}"></i>'


def draw_letters(square: Image.Image, plane: Plane) -> None:
    """Which way the patient lies, at the four edges."""
    side, letters = float(SIDE_PX), LETTERS[plane]
    places = ((8, side / 2), (side - 8, side / 2), (side / 2, 6), (side / 2, side - 6))
    for letter, place, anchor in zip(letters, places, ("lm", "rm", "mt", "mb"), strict=True):
        _write(square, letter, place, anchor, (255, 255, 255))


def draw_findings(square: Image.Image, view: View, findings: Sequence[Boxed]) -> None:
    """Outlines of the findings that this plane meets, with level and score."""
    (left, top), (width, height) = view.corner_px, view.size_px
    picture = square.crop((left, top, left + width, top + height))
    draw = ImageDraw.Draw(picture)
    for finding in findings:
        px = outline_px(view, finding.box_mm)
        if px is None:
            continue
        corners = [(float(x), float(y)) for x, y in px - view.corner_px]
        for colour, line in (((0, 0, 0), 6), (rgb(FINDING), 3)):
            draw.line([*corners, *corners[:2]], fill=colour, width=line, joint="curve")
        x, y = min(x for x, _ in corners), min(y for _, y in corners)
        anchor = "lb" if y > _LABEL_PX else "lt"
        place = (x, y - 6) if y > _LABEL_PX else (x + 7, y + 6)
        _write(picture, f"{finding.level} {finding.score:.2f}", place, anchor, rgb(FINDING))
    square.paste(picture, (left, top))


def outline_px(view: View, box_mm: tuple[Point, Point]) -> Points | None:
    """Corners, in order, of the polygon in which a box of the patient's world meets a plane.

    A slice shows what lies within half its thickness: a box between two slices is seen on the
    nearer one.

    Returns:
        (n, 2) places in the picture's square; None where they do not meet.
    """
    signs = list(itertools.product((0, 1), repeat=3))
    corners = np.array([[box_mm[end][axis] for axis, end in enumerate(sign)] for sign in signs])
    voxels = view.geometry.to_voxel(corners)
    along = voxels[:, across(view.plane)]
    level = float(np.clip(view.slice_index, along.min(), along.max()))
    if abs(level - view.slice_index) > 0.5:
        return None
    points = []
    for one, other in itertools.combinations(range(8), 2):
        if sum(a != b for a, b in zip(signs[one], signs[other], strict=True)) > 1:
            continue  # no edge of the box
        rise = along[other] - along[one]
        if rise and 0 <= (share := (level - along[one]) / rise) <= 1:
            points.append(voxels[one] + share * (voxels[other] - voxels[one]))
    px = view.to_px(np.array(points))
    x, y = (px - px.mean(axis=0)).T
    return px[np.argsort(np.arctan2(y, x))]


def _write(
    picture: Image.Image,
    text: str,
    at: tuple[float, float],
    anchor: str,
    colour: tuple[int, int, int],
) -> None:
    font = ImageFont.load_default(24)
    ImageDraw.Draw(picture).text(
        at, text, colour, font, anchor, stroke_width=2, stroke_fill=(0, 0, 0)
    )
