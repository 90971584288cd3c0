"""From the slices of one series to the grid that they lie on: order, spacing, tilt, gaps.

Everything follows from Image Position and Image Orientation (Patient). Slice Thickness, Spacing
Between Slices, Slice Location and Gantry Tilt are never asked: they contradict the positions in
real files.

References:
    DICOM PS3.3 C.7.6.2 (image plane); LPS there, RAS+ here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.frames import MAX_FRAMES, Frame

FloatArray = NDArray[np.float64]

SAME_POSITION_MM: Final = 0.01
"""Slices nearer than this lie at one position."""

JITTER: Final = 0.1
"""Largest distance of a slice from the regular grid, in steps.

Positions are often rounded to 0.1 mm; at 0.6 mm a slice then lies up to 8 % of a step away.
"""

NOTABLE_JITTER: Final = 0.01
"""From this distance on, in steps, and if it is more than ``ROUNDING_MM``, it is reported."""

ROUNDING_MM: Final = 0.101
"""Positions rounded to 0.1 mm lie up to this far from the line through the first and the last."""

GAP: Final = 1.5
"""A step of this many medians is a gap."""

MAX_GAP_MM: Final = 5.0
"""Widest step that is bridged from its neighbours, a third of a cervical vertebra's height."""

MAX_FILLED: Final = 0.2
"""Largest share of slices that may be bridged; with more, the step itself is in doubt."""

STEP_MM: Final = (0.05, 20.0)
"""Plausible range of the distance between slices."""

FARTHEST_MM: Final = 1e5
"""No scanner's coordinates reach 100 m from their origin."""

MAX_SHIFT: Final = 0.25
"""Pixels that slices may be displaced in plane before they are resampled (gantry tilt)."""

MAX_TILT_DEGREES: Final = 45.0
"""Gantries tilt by 30 degrees at most; beyond this the positions make no sense."""

MIN_SLICES: Final = 16
MIN_EXTENT_MM: Final = 40.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the slices of a volume lie.

    Attributes:
        order: input slices from first to last along the normal.
        index: place of each ordered slice on the grid; gaps leave numbers out.
        shape: columns, rows, slices of the grid.
        affine: from (column, row, slice) to RAS+ mm.
        shifts: (n, 2) columns and rows by which each ordered slice lies inside the grid; all
            zero unless the gantry was tilted.
        tilt_degrees: angle between the normal and the line through the slices.
        jitter: largest distance of a slice from the grid, in steps.
    """

    order: tuple[int, ...]
    index: tuple[int, ...]
    shape: tuple[int, int, int]
    affine: FloatArray
    shifts: FloatArray
    tilt_degrees: float
    jitter: float

    @property
    def step_mm(self) -> float:
        """Distance between neighbouring slices."""
        return float(np.linalg.norm(self.affine[:3, 2]))

    @property
    def tilted(self) -> bool:
        """Whether slices must be shifted in plane."""
        return bool(self.shifts.any())


def normal_of(frame: Frame) -> FloatArray:
    """Unit normal of a slice in LPS."""
    return np.cross(frame.orientation[:3], frame.orientation[3:])


def distances(frames: Sequence[Frame]) -> FloatArray:
    """Position of each slice along the normal of the first, in mm."""
    return np.array([frame.position for frame in frames]) @ normal_of(frames[0])


def build_grid(frames: Sequence[Frame]) -> Grid:
    """The grid of slices that share size, spacing and orientation.

    Raises:
        Problem: too few or too many slices, two at one position, no regular distance.
    """
    if len(frames) < MIN_SLICES:
        raise Problem("too_few_slices", f"{len(frames)} slices; at least {MIN_SLICES} are needed")
    if max(abs(value) for frame in frames for value in frame.position) > FARTHEST_MM:
        raise Problem("bad_geometry", "an image position lies more than 100 m away")
    along = distances(frames)
    order = np.argsort(along, kind="stable")
    sorted_along = along[order]
    _check_distinct(sorted_along)
    index, step, jitter = _regular(sorted_along)
    count = int(index[-1]) + 1
    ordered = [frames[n] for n in order]
    shifts, tilt = _shifts(ordered, sorted_along)
    low = np.floor(shifts.min(axis=0) + 1e-9)
    size = np.array([frames[0].format.columns, frames[0].format.rows])
    columns, rows = (size + np.ceil(shifts.max(axis=0) - low - 1e-9)).astype(int)
    grid = Grid(
        tuple(int(n) for n in order),
        tuple(int(n) for n in index),
        (int(columns), int(rows), count),
        _affine(ordered[0], step, low),
        shifts - low,
        tilt,
        jitter,
    )
    gaps(grid.index, grid.affine)
    if count > MAX_FRAMES:
        raise Problem("too_many_slices", f"{count} slices; at most {MAX_FRAMES} are read")
    check_size(grid.shape, np.linalg.norm(grid.affine[:3, :3], axis=0))
    return grid


def gaps(present: Iterable[int], affine: FloatArray) -> list[tuple[int, int]]:
    """Pairs of neighbouring slices between which others are missing.

    Args:
        present: indices of the slices that are there.
        affine: from (column, row, slice) to RAS+ mm.

    Raises:
        Problem: a gap is too wide, or too many slices are missing, to be bridged.
    """
    known = sorted(present)
    step = float(np.linalg.norm(affine[:3, 2]))
    found = [(a, b) for a, b in pairwise(known) if b - a > 1]
    for a, b in found:
        if (b - a) * step > MAX_GAP_MM + SAME_POSITION_MM:
            place = (affine @ [0, 0, a, 1])[2]
            raise Problem(
                "gap",
                f"{b - a - 1} slices are missing between slices {a + 1} and {b + 1} "
                f"({(b - a) * step:.1f} mm, at {place:.1f} mm superior)",
            )
    count = known[-1] - known[0] + 1
    if count - len(known) > MAX_FILLED * count:
        raise Problem("gap", f"{count - len(known)} of {count} slices are missing")
    return found


def check_size(shape: Sequence[int], spacing_mm: Sequence[float] | FloatArray) -> None:
    """Refuse what is too small to hold a cervical spine, or too long to be read.

    Raises:
        Problem: too few or too many voxels along some axis.
    """
    extent = min(n * mm for n, mm in zip(shape, spacing_mm, strict=True))
    if min(shape) < MIN_SLICES or extent < MIN_EXTENT_MM:
        raise Problem(
            "too_few_slices",
            f"{min(shape)} voxels and {extent:.0f} mm along the shortest axis; "
            f"at least {MIN_SLICES} and {MIN_EXTENT_MM:.0f} mm are needed",
        )


def _check_distinct(along: FloatArray) -> None:
    close = np.flatnonzero(np.diff(along) < SAME_POSITION_MM)
    if len(close) == len(along) - 1:
        raise Problem("duplicate_position", "all images lie at one position (bolus tracking?)")
    if len(close):
        raise Problem("duplicate_position", f"{len(close)} images lie where another one is")


def _regular(along: FloatArray) -> tuple[NDArray[np.int64], float, float]:
    """Grid index of each slice, the step, and the largest deviation in steps."""
    steps = np.diff(along)
    median = float(np.median(steps))
    index = np.concatenate([[0], np.cumsum(np.maximum(np.floor(steps / median + 0.5), 1))])
    step = float((along[-1] - along[0]) / index[-1])
    if not STEP_MM[0] <= step <= STEP_MM[1]:
        raise Problem("bad_geometry", f"slices are not {step:g} mm apart")
    jitter = float(np.abs(along - along[0] - index * step).max() / step)
    if jitter > JITTER:
        worst = int(np.argmax(np.abs(steps - median)))
        code = "gap" if steps[worst] >= GAP * median else "uneven_spacing"
        raise Problem(
            code,
            f"slices {worst + 1} and {worst + 2} are {steps[worst]:.2f} mm apart, "
            f"the others {median:.2f} mm",
        )
    return index.astype(np.int64), step, jitter


def _shifts(ordered: Sequence[Frame], along: FloatArray) -> tuple[FloatArray, float]:
    """Displacement of each slice in its plane, in columns and rows, and the tilt it comes from."""
    first = ordered[0]
    delta = np.array([frame.position for frame in ordered]) - np.array(first.position)
    axes = np.array([first.orientation[:3], first.orientation[3:]])
    lateral = delta @ axes.T
    row_mm, column_mm = first.pixel_spacing_mm
    shifts: FloatArray = lateral / [column_mm, row_mm]
    tilt = math.degrees(math.atan2(np.linalg.norm(lateral[-1]), along[-1] - along[0]))
    if np.ptp(shifts, axis=0).max() <= MAX_SHIFT:
        return np.zeros_like(shifts), 0.0
    if tilt > MAX_TILT_DEGREES or np.ptp(lateral, axis=0).max() > along[-1] - along[0]:
        raise Problem("bad_geometry", "the slices are displaced against each other")
    return shifts, tilt


def _affine(first: Frame, step: float, corner: FloatArray) -> FloatArray:
    """Matrix from (column, row, slice) to RAS+ mm, with voxel 0 at ``corner`` of ``first``."""
    row_mm, column_mm = first.pixel_spacing_mm
    lps = np.eye(4)
    lps[:3, 0] = np.array(first.orientation[:3]) * column_mm
    lps[:3, 1] = np.array(first.orientation[3:]) * row_mm
    lps[:3, 2] = normal_of(first) * step
    lps[:3, 3] = first.position
    lps[:3, 3] += lps[:3, :2] @ corner
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps + 0.0  # no negative zeros
