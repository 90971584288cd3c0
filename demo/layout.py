"""Where each vertebra's row of bars stands beside the sagittal slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

import cspine_zoo as cz
from viewer import Strip

PITCH_MM: Final = 12.5
"""Least distance between rows: lower, and three bars with their numbers would not fit."""

_USUAL_PITCH_MM: Final = 17.0
"""Distance of neighbouring cervical vertebrae, for levels whose neighbours tell nothing."""

_MARGIN_MM: Final = 12.0


@dataclass(frozen=True)
class SpineRow:
    """One level beside the picture.

    Attributes:
        level: C1 to C7.
        centre_mm: world z of the vertebra; None if it was not found.
        row_mm: world z at which its bars stand: its own height, moved only to make room.
    """

    level: str
    centre_mm: float | None
    row_mm: float


@dataclass(frozen=True)
class SpineLayout:
    """All rows, and the piece of the neck that the picture shows."""

    rows: tuple[SpineRow, ...]
    strip: Strip

    @property
    def height_mm(self) -> float:
        """Height of the picture in the patient."""
        return self.strip.top_mm - self.strip.bottom_mm


def spine_layout(comparison: cz.Comparison, geometry: cz.Geometry) -> SpineLayout:
    """Rows at the heights of this patient's own vertebrae.

    Args:
        comparison: at least one classifier.
        geometry: grid of the study, for the case that nothing was found.
    """
    centroids = [v.centroid_mm for v in comparison.predictions[0].vertebrae]
    found = [point for point in centroids if point is not None]
    known = [None if point is None else point[2] for point in centroids]
    middle = geometry.to_world((np.array(geometry.shape) - 1) / 2)
    heights = _complete(known, float(middle[2]))
    rows = tuple(
        SpineRow(level, centre, row)
        for level, centre, row in zip(cz.LEVELS, known, _spread(heights), strict=True)
    )
    path = found or [(float(middle[0]), float(middle[1]), float(middle[2]))]
    return SpineLayout(
        rows,
        Strip(
            path_mm=path,
            bottom_mm=min(row.row_mm for row in rows) - _MARGIN_MM,
            top_mm=max(row.row_mm for row in rows) + _MARGIN_MM + PITCH_MM / 2,
        ),
    )


def _complete(known: list[float | None], middle: float) -> list[float]:
    """Heights of all levels: the known ones, between them in proportion, beyond them in steps."""
    index = [i for i, height in enumerate(known) if height is not None]
    values = [height for height in known if height is not None]
    if not index:
        return [middle + (3 - i) * _USUAL_PITCH_MM for i in range(len(known))]
    heights = np.interp(range(len(known)), index, values)
    for i in range(index[0]):
        heights[i] = values[0] + (index[0] - i) * _USUAL_PITCH_MM
    for i in range(index[-1] + 1, len(known)):
        heights[i] = values[-1] - (i - index[-1]) * _USUAL_PITCH_MM
    return [float(height) for height in heights]


def _spread(heights: list[float]) -> list[float]:
    """The nearest heights that fall from the skull down and keep ``PITCH_MM`` between them.

    Pool-adjacent-violators on the heights plus their place times the pitch: the least squares
    answer to "move the rows as little as possible".
    """
    blocks: list[tuple[float, int]] = []
    for place, height in enumerate(heights):
        mean, size = height + place * PITCH_MM, 1
        while blocks and blocks[-1][0] < mean:
            above, count = blocks.pop()
            mean = (above * count + mean * size) / (count + size)
            size += count
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    return [mean - place * PITCH_MM for place, mean in enumerate(flat)]
