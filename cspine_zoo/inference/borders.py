"""Borders between vertebral bodies, settled by the discs that the image shows.

A network that finds no disc where two bodies nearly touch gives one of them to its neighbour, and
those below follow. The line through the bodies still shows a dark place there, at about the
distance from the next that all others have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from cspine_zoo.anatomy import BACKGROUND, DISC, LABEL_OF, LEVEL_OF, THORACIC
from cspine_zoo.ct.geometry import FloatArray, Geometry
from cspine_zoo.ct.volume import Notice
from cspine_zoo.inference.column import STEP_MM, Column, find_column
from cspine_zoo.preprocess.spec import Window

LEAST_MOVE_MM: Final = 5.0
"""Borders stay unless one that has no disc is to move by more: a third of a low level."""

NO_DISC: Final = 0.2
"""Less of disc painted about a border, within ``_NEAR_MM``, is none: it lies within bone."""
_NEAR_MM: Final = 3.0

LEAST_GAIN: Final = 3.0
"""Of cost that new borders must save, in all and by what the image shows of discs: twenty times as
likely. That a level is shorter than others is no reason by itself."""

FARTHEST: Final = 0.75
"""A border moves by less than this share of a level: what is a level's middle stays its own."""

_FEWEST_BORDERS: Final = 3
_LEAST_SHARE: Final = 0.25
"""Of the places about a point of the line that a level must hold to be what lies there."""
_THIN_MM: Final = 1.0
_BROAD_MM: Final = 10.0
"""A disc is a dip in brightness between these two widths of a Gaussian: finer is noise, broader
is how bright the bone is there."""
_AXIS: Final = LABEL_OF["C2"]

# Of bodies, 15 mm deep and 16 mm wide; worn discs are bridged by bone behind, seldom in front.
_FRONT_MM: Final = (0.0, 2.0, 4.0, 6.0, 8.0)
_WHOLE_MM: Final = (-6.0, -4.0, -2.0, *_FRONT_MM)
_ASIDE_MM: Final = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)

# Costs: negative logarithms of what is likely. They were settled on 22 synthetic studies of
# `tune` and 38 of `challenge`, and on one real scan (docs/experiments.md).
_DARK: Final = 1.2
"""Of one standard deviation of brightness along the line, or of ``_LEAST_CONTRAST_HU``."""
_LEAST_CONTRAST_HU: Final = 50.0
"""Less is noise, however regular it looks."""
_PAINTED: Final = 5.0
"""Saved where the network has painted nothing but disc."""
_STRAY_MM: Final = 3.0
_MOST_OF_STRAY: Final = 2.0
"""A border that is off is off by anything."""
_STRAY_OF_AXIS_MM: Final = 1.5
"""C2 is unlike all others and hardly confused: its lower border is held."""
_UNEVEN: Final = 0.12
"""Standard deviation of the distance between discs, as a share of it."""
_MOST_OF_UNEVEN: Final = 3.0
_NEAREST: Final = 0.4
"""Discs are at least this share of the usual distance apart."""
_OTHER_PITCH: Final = 1.15
"""The distance that most discs keep is at most so much off the median of the network's."""


@dataclass(frozen=True, eq=False)
class Settled:
    """Labels after their borders were settled.

    Attributes:
        labels: uint8, 0-8.
        moved_mm: by the upper level of a border, how far it was moved down; empty if none was.
    """

    labels: NDArray[np.uint8]
    moved_mm: Mapping[str, float]

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know about it."""
        far = [
            f"{upper}/{LEVEL_OF.get(LABEL_OF[upper] + 1, 'T1')} ({abs(mm):.0f} mm)"
            for upper, mm in self.moved_mm.items()
            if abs(mm) >= LEAST_MOVE_MM
        ]
        if not far:
            return ()
        told = (
            f"{', '.join(far)}: the segmenter's borders between these levels were moved to where "
            "the image shows discs at regular distances; look at the masks."
        )
        return (Notice("borders_moved", told),)


def settle_borders(
    labels: NDArray[np.uint8],
    raw: NDArray[np.uint8],
    windowed: NDArray[np.float32],
    window: Window,
    grid: Geometry,
) -> Settled:
    """Move borders between C2 and T1 to dark places at regular distances, where these are clearer.

    Only where a border that is to move far lies within bone, with no disc that the network painted;
    its neighbours then go along.

    Which voxels are bone stays as it is, and so do names and order of the levels: along the line
    through the bodies labels are stretched and squeezed, arches and processes with their bodies.

    Args:
        labels: 0-8, each level once and in order.
        raw: of the segmenter, of which only its discs matter.
        windowed: the image that it saw, -1 to 1.
        window: of that image.
        grid: of labels, discs and image.
    """
    stays = Settled(labels, {})
    column = find_column(labels, (labels > LABEL_OF["C1"]) | (raw == DISC), grid)
    if column is None:
        return stays
    painted = _painted_borders(column.sample(labels, grid, _WHOLE_MM, _ASIDE_MM, order=0))
    if len(painted) < _FEWEST_BORDERS:
        return stays
    bright = column.sample(windowed, grid, _FRONT_MM, _ASIDE_MM).mean(axis=0)
    discs = column.sample((raw == DISC).astype(np.float32), grid, _WHOLE_MM, _ASIDE_MM).mean(axis=0)
    cost = _cost_of_places(bright * window.width / 2, discs, list(painted.values()))
    found = _most_likely(cost, painted, column.inside(grid))
    if found is None:
        return stays
    moved = {label: found[label] - place for label, place in painted.items()}
    without = [label for label, place in painted.items() if _most_near(discs, place) < NO_DISC]
    if not any(abs(moved[label]) > LEAST_MOVE_MM for label in without):
        return stays
    relabelled = _relabelled(labels, grid, column, painted, found)
    return Settled(relabelled, {LEVEL_OF[label]: mm for label, mm in moved.items()})


def _painted_borders(along: NDArray[np.uint8]) -> dict[int, float]:
    """The network's borders by upper label, in mm along the line: the longest run of them.

    Args:
        along: labels about the line, (offsets, n).
    """
    counts = np.stack([(along == label).sum(axis=0) for label in range(_AXIS, THORACIC + 1)])
    main = np.where(
        counts.max(axis=0) >= _LEAST_SHARE * len(along), counts.argmax(axis=0) + _AXIS, BACKGROUND
    )
    places = {label: np.flatnonzero(main == label) for label in range(_AXIS, THORACIC + 1)}
    runs: list[dict[int, float]] = [{}]
    for upper, lower in pairwise(places):
        if len(places[upper]) and len(places[lower]):
            runs[-1][upper] = STEP_MM * float(places[upper][-1] + places[lower][0]) / 2
        else:
            runs.append({})
    run = max(runs, key=len)
    rises = all(a < b for a, b in pairwise(run.values()))
    return run if rises else {}


def _most_near(discs: FloatArray, place: float) -> float:
    """Largest share of disc near a place along the line."""
    low, high = (max(int(np.ceil((place + mm) / STEP_MM)), 0) for mm in (-_NEAR_MM, _NEAR_MM))
    return float(discs[low : high + 1].max(initial=0.0))


def _cost_of_places(hu: FloatArray, discs: FloatArray, painted: Sequence[float]) -> FloatArray:
    """What it costs to see a disc at each point of the line: less where it is dark or painted.

    Args:
        hu: mean brightness in front of each point.
        discs: share of painted disc about each point.
        painted: the network's borders, in mm along the line.
    """
    broad = ndimage.gaussian_filter1d(hu, _BROAD_MM / STEP_MM, mode="nearest")
    local = ndimage.gaussian_filter1d(hu, _THIN_MM / STEP_MM) - broad
    bodies = local[int(painted[0] / STEP_MM) : int(painted[-1] / STEP_MM) + 1]
    contrast = max(float(bodies.std()), _LEAST_CONTRAST_HU)
    return np.asarray(_DARK * local / contrast - _PAINTED * discs)


def _most_likely(
    cost: FloatArray, painted: Mapping[int, float], inside: NDArray[np.bool_]
) -> dict[int, float] | None:
    """Borders in mm along the line; None where the network's own are nearly as likely."""
    own_places = np.array(list(painted.values()))
    own_gaps = np.diff(own_places).astype(np.float64)
    own_points = np.clip(np.rint(own_places / STEP_MM).astype(int), 0, len(cost) - 1)
    median = float(np.median(own_gaps))
    own = best = np.inf
    chosen = own_points
    for pitch in np.arange(median / _OTHER_PITCH, median * _OTHER_PITCH, STEP_MM / 2):
        own = min(own, cost[own_points].sum() + _uneven(own_gaps, pitch).sum())
        places = np.stack([cost + _stray(cost, *border, pitch) for border in painted.items()])
        total, points = _cheapest(np.where(inside, places, np.inf), pitch)
        if total < best:
            best, chosen = total, points
    shown = cost[own_points].sum() - cost[chosen].sum()
    if min(own - best, shown) < LEAST_GAIN:
        return None
    return dict(zip(painted, (chosen * STEP_MM).tolist(), strict=True))


def _stray(cost: FloatArray, upper: int, painted: float, pitch: float) -> FloatArray:
    """Of a border that lies elsewhere than the network painted it."""
    off = np.arange(len(cost)) * STEP_MM - painted
    if upper == _AXIS:
        price = (off / _STRAY_OF_AXIS_MM) ** 2 / 2
    else:
        price = np.minimum((off / _STRAY_MM) ** 2 / 2, _MOST_OF_STRAY)
    return np.where(np.abs(off) <= FARTHEST * pitch, price, np.inf)


def _uneven(distance_mm: FloatArray, pitch: float) -> FloatArray:
    """Of discs that are nearer or farther than most."""
    off = (distance_mm - pitch) / (_UNEVEN * pitch)
    return np.minimum(off**2 / 2, _MOST_OF_UNEVEN)


def _cheapest(places: FloatArray, pitch: float) -> tuple[float, NDArray[np.int64]]:
    """The cheapest point for each border, one below the other, and what they cost (Viterbi).

    Args:
        places: (borders, n) costs of each border at each point.
        pitch: usual distance of discs.
    """
    along = STEP_MM * np.arange(places.shape[1], dtype=np.float64)
    step_mm = along[None, :] - along[:, None]
    steps = np.where(step_mm > _NEAREST * pitch, _uneven(step_mm, pitch), np.inf)
    total, behind = places[0], []
    for here in places[1:]:
        ways = total[:, None] + steps
        behind.append(ways.argmin(axis=0))
        total = ways.min(axis=0) + here
    path = [int(total.argmin())]
    for before in reversed(behind):
        path.append(int(before[path[-1]]))
    return float(total.min()), np.array(path[::-1])


def _relabelled(
    labels: NDArray[np.uint8],
    grid: Geometry,
    column: Column,
    painted: Mapping[int, float],
    settled: Mapping[int, float],
) -> NDArray[np.uint8]:
    """Each voxel below C1 gets the label of the place that was stretched onto its own."""
    below = labels > LABEL_OF["C1"]
    (box,) = ndimage.find_objects(below.astype(np.uint8))
    near = grid.cropped([part.start for part in box], below[box].shape)
    voxels = np.argwhere(below[box])
    places_mm = near.to_world(voxels.astype(np.float64))
    points = column.points_mm
    _, nearest = cKDTree(points).query(places_mm)
    now = nearest * STEP_MM
    new, old = np.array(list(settled.values())), np.array(list(painted.values()))
    before = now + np.interp(now, new, old - new)
    along = np.arange(len(points)) * STEP_MM
    steps = [np.interp(before, along, axis) - np.interp(now, along, axis) for axis in points.T]
    source = np.rint(near.to_voxel(places_mm + np.stack(steps, axis=1))).astype(int)
    source = np.clip(source, 0, np.array(near.shape) - 1)
    owner = ndimage.distance_transform_edt(
        ~below[box], near.spacing_mm, return_distances=False, return_indices=True
    )
    result = labels.copy()
    result[box][below[box]] = labels[box][tuple(owner[:, *source.T])]
    return result
