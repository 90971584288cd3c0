"""One scan and eleven changed copies of it: which levels are named, which are called broken, where.

``python -m benchmarks.copies SCAN LEVELS`` takes a study without fractures and a JSON file with
``{"body_centre_mm": {"C1": [x, y, z], ...}}``, centres of vertebral bodies in RAS+ mm. A level is
at its place when its centre lies within 4 mm of its own mask and nearer to it than to any other
level's; a border should lie in the middle between two centres. Nothing of the scan is written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import cspine_zoo as cz
from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.inference.segment import DEFAULT_SEGMENTER
from cspine_zoo.results import ModelPrediction

NEAR_MM = 4.0
STRAY_CM3 = 1.0
AIR_HU = -1024.0

FloatArray = NDArray[np.float64]
Centres = Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Copy:
    """A scan that was changed.

    Attributes:
        name: what was done to it.
        ct: the changed scan.
        moved: (4, 4), from a point of the patient to where it lies in the copy.
    """

    name: str
    ct: CTVolume
    moved: FloatArray

    def centres(self, centres: Centres) -> dict[str, FloatArray]:
        """Those of the levels that the copy still shows."""
        shape = np.array(self.ct.geometry.shape)
        moved = {level: (self.moved @ np.r_[c, 1.0])[:3] for level, c in centres.items()}
        return {
            level: centre
            for level, centre in moved.items()
            if np.all((voxel := self.ct.geometry.to_voxel(centre)) >= 0) and np.all(voxel < shape)
        }


def copies_of(ct: CTVolume) -> Iterator[Copy]:
    """The scan itself, then resampled, shorter, turned, scaled along the spine, and noisy."""
    geometry, stays = ct.geometry, np.eye(4)
    yield Copy("as it is", ct, stays)
    for spacing_mm in (1.0, 2.0):
        grid = geometry.with_spacing((spacing_mm,) * 3)
        yield Copy(f"at {spacing_mm:g} mm", _resampled(ct, stays, grid), stays)
    slices = round(30.0 / geometry.spacing_mm[2])
    for name, start in (("30 mm shorter above", 0), ("30 mm shorter below", slices)):
        yield Copy(name, _shorter(ct, start, geometry.shape[2] - slices), stays)
    for name, axes in (("turned back", (1, 2)), ("tilted", (0, 2))):
        for degrees in (15.0, -15.0):
            moved = _turn(degrees, axes, geometry)
            yield Copy(f"{name} by {degrees:g} degrees", _resampled(ct, moved, geometry), moved)
    for factor in (0.85, 1.15):
        moved = np.diag([1.0, 1.0, factor, 1.0])
        scaled = CTVolume(ct.hu, Geometry(geometry.shape, moved @ geometry.affine))
        yield Copy(f"{factor:g} of its height", scaled, moved)
    noise = np.random.default_rng(0).normal(0.0, 40.0, geometry.shape)
    yield Copy("noise of 40 HU", CTVolume((ct.hu + noise).astype(np.float32), geometry), stays)


def _shorter(ct: CTVolume, start: int, n_slices: int) -> CTVolume:
    shape = (*ct.geometry.shape[:2], n_slices)
    hu = ct.hu[:, :, start : start + n_slices]
    return CTVolume(hu, ct.geometry.cropped((0, 0, start), shape))


def _turn(degrees: float, axes: tuple[int, int], about: Geometry) -> FloatArray:
    """A rotation about the middle of a grid, from the first world axis to the second."""
    first, second = axes
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[second, first] = np.sin(angle)
    turn[first, second] = -np.sin(angle)
    middle = about.to_world(np.array(about.shape) / 2)
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    return turn


def _resampled(ct: CTVolume, moved: FloatArray, grid: Geometry) -> CTVolume:
    """The moved scan on ``grid``; air outside of what was scanned."""
    back = np.linalg.inv(moved @ ct.geometry.affine) @ grid.affine
    hu = ndimage.affine_transform(
        ct.hu, back[:3, :3], back[:3, 3], output_shape=grid.shape, order=1, cval=AIR_HU
    )
    return CTVolume(hu.astype(np.float32), grid)


def misplaced(labels: cz.LabelMap, centres: Centres) -> list[str]:
    """Levels whose centre is not at their own mask, or nearer to another's."""
    nearest = {
        level: labels.geometry.to_world(np.argwhere(labels.labels == LABEL_OF[level]).astype(float))
        for level in LEVELS
    }
    wrong = []
    for level, centre in centres.items():
        far = {
            name: float(np.linalg.norm(points - centre, axis=1).min())
            for name, points in nearest.items()
            if len(points)
        }
        if far.get(level, np.inf) > NEAR_MM or min(far, key=far.__getitem__) != level:
            wrong.append(level)
    return wrong


def borders_mm(labels: cz.LabelMap, centres: Centres) -> dict[str, int | None]:
    """How far each border between bodies lies below the middle of its two centres, in whole mm.

    C1 has no body. None where the line between the centres meets one of the two levels nowhere.
    """
    found: dict[str, int | None] = {}
    for upper, lower in pairwise(level for level in LEVELS[1:] if level in centres):
        way_mm = centres[lower] - centres[upper]
        share = np.linspace(0.0, 1.0, 201)
        places = labels.geometry.to_voxel(centres[upper] + share[:, None] * way_mm)
        voxels = np.clip(np.rint(places).astype(int), 0, np.array(labels.labels.shape) - 1)
        met = labels.labels[tuple(voxels.T)]
        above, below = (np.flatnonzero(met == LABEL_OF[level]) for level in (upper, lower))
        off_mm = None
        if len(above) and len(below):
            border = (share[above[-1]] + share[below[0]]) / 2
            off_mm = round(float((border - 0.5) * np.linalg.norm(way_mm)))
        found[f"{upper}/{lower}"] = off_mm
    return found


def strays(labels: cz.LabelMap) -> list[str]:
    """Levels with a second piece of more than 1 cm3."""
    found = []
    for level in LEVELS:
        pieces, count = ndimage.label(labels.labels == LABEL_OF[level])
        sizes = np.sort(np.bincount(pieces.ravel(), minlength=count + 1)[1:])
        if count > 1 and sizes[-2] * labels.geometry.voxel_mm3 > 1000.0 * STRAY_CM3:
            found.append(level)
    return found


@dataclass(frozen=True)
class Zoo:
    """Names or files of the models that are asked; no localizer finds nothing."""

    classifiers: Sequence[str]
    segmenter: str
    localizer: str | None


def report(copy: Copy, centres: Centres, zoo: Zoo) -> tuple[int, int]:
    """Print what becomes of one copy; levels at their place, and levels in view."""
    here = copy.centres(centres)
    try:
        found = cz.compare(
            copy.ct, zoo.classifiers, segmenter=zoo.segmenter, localizer=zoo.localizer
        )
    except cz.StudyRejected as refusal:
        print(f"{copy.name}: refused, {refusal.code}", flush=True)
        return 0, len(here)
    if found.label_map is None:
        raise ValueError("a comparison has a label map")
    wrong = misplaced(found.label_map, here)
    print(f"{copy.name}: {len(here) - len(wrong)} of {len(here)}", end="")
    print(f", misplaced {wrong}, in pieces {strays(found.label_map)}", end="")
    print(f", borders off by {borders_mm(found.label_map, here)} mm", flush=True)
    for one in found.predictions:
        scored = {v.level: v for v in one.vertebrae if v.probability is not None}
        called = {
            level: f"{v.probability:.2f}"
            for level, v in scored.items()
            if v.probability is not None and v.probability >= v.threshold
        }
        print(f"  {one.model}: patient {_verdict(one)}, {called}")
    if zoo.localizer is not None:
        named = [
            f"{finding.level} {finding.score:.2f}" for finding in found.predictions[0].findings
        ]
        print(f"  {Path(zoo.localizer).stem}: {named}")
    return len(here) - len(wrong), len(here)


def _verdict(one: ModelPrediction) -> str:
    if one.patient_overall is None:
        return "not judged"
    called = "CALLED" if one.patient_overall >= one.threshold else "not called"
    return f"{one.patient_overall:.2f} of {one.threshold:.2f} {called}"


def main() -> None:
    """One scan through all its copies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", help="a study without fractures")
    parser.add_argument("levels", type=Path, help="JSON with body_centre_mm")
    parser.add_argument("--segmenter", default=DEFAULT_SEGMENTER)
    parser.add_argument("--models", nargs="+", help="classifiers; default: those bundled")
    parser.add_argument("--localizer", help="whose findings to list")
    asked = parser.parse_args()
    bundled = [row.name for row in cz.list_models("cls-*") if row.available == "bundled"]
    told = json.loads(asked.levels.read_text())["body_centre_mm"]
    centres = {level: np.array(centre, dtype=np.float64) for level, centre in told.items()}
    zoo = Zoo(asked.models or bundled, asked.segmenter, asked.localizer)
    counts = [report(copy, centres, zoo) for copy in copies_of(cz.read_ct(asked.scan))]
    right, there = np.sum(counts, axis=0)
    print(f"{right} of {there} levels at their place")


if __name__ == "__main__":
    main()
