"""Findings against the fractures that are in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from scipy.spatial import KDTree

from cspine_zoo.anatomy import LEVEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import StudyRejected
from cspine_zoo.results import Finding
from cspine_zoo.rsna.boxes import Box
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.masks import read_label_map

WITHIN_MM: Final = 10.0
"""A finding names a fracture if its box's centre lies this near to one of its voxels."""

_BOX_GRID: Final = 12  # points along each side of a box: 2.5 mm apart in RSNA's median box

Points = NDArray[np.float64]


@dataclass(frozen=True)
class FindingScore:
    """Findings of one study, counted.

    Attributes:
        fractures: fractures in view.
        recalled: those that at least one finding names.
        false: findings that name no fracture.
    """

    fractures: int
    recalled: int
    false: int


def score_findings(findings: Sequence[Finding], fractures: Sequence[Points]) -> FindingScore:
    """Count the fractures that the findings name, and the findings that name none.

    Args:
        findings: boxes in world mm.
        fractures: for each fracture its points (N, 3) in world mm.
    """
    centres = [np.mean(finding.box_mm, axis=0) for finding in findings]
    near = np.zeros((len(fractures), len(centres)), dtype=bool)
    for f, points in enumerate(fractures):
        if centres:
            distances, _ = KDTree(points).query(np.asarray(centres))
            near[f] = distances <= WITHIN_MM
    return FindingScore(
        fractures=len(fractures),
        recalled=int(near.any(axis=1).sum()),
        false=int((~near.any(axis=0)).sum()),
    )


def true_fractures(row: StudyRow, geometry: Geometry) -> list[Points] | None:
    """Points of each fracture of the study; None where nobody says where they are.

    Fracture masks count one fracture a level; without a mask, boxes that overlap from slice to
    slice make one fracture. A study without any fractured level has none.

    Raises:
        StudyRejected: the mask cannot be read, or a box names a file that is not there.
    """
    if not row.patient_overall:
        return []
    if row.fractures is not None:
        labels = read_label_map(row.fractures, geometry)
        masks = [np.argwhere(labels == label) for label in LEVEL_OF]
        return [geometry.to_world(mask.astype(np.float64)) for mask in masks if len(mask)]
    if row.boxes:
        groups = _overlapping(row.boxes)
        return [np.concatenate([box_points(box, row.images) for box in g]) for g in groups]
    return None


def box_points(box: Box, images: Path) -> Points:
    """A grid of points over the box, in RAS+ mm, by the geometry of the file that it names.

    Raises:
        StudyRejected: the file is not there or does not say where it lies.
    """
    path = images / f"{box.slice_number}.dcm"
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        position = np.array(header.ImagePositionPatient, dtype=np.float64)
        orientation = np.array(header.ImageOrientationPatient, dtype=np.float64)
        row_mm, column_mm = (float(value) for value in header.PixelSpacing)
    except (InvalidDicomError, OSError, AttributeError, TypeError, ValueError) as error:
        raise StudyRejected(
            "box_slice", f"a fracture box names a slice without geometry ({error}).", file=path.name
        ) from error
    # A position is the centre of a pixel, a box is measured from the pixel's corner.
    columns = np.linspace(box.x, box.x + box.width, _BOX_GRID) - 0.5
    rows = np.linspace(box.y, box.y + box.height, _BOX_GRID) - 0.5
    across = np.multiply.outer(columns * column_mm, orientation[:3])
    down = np.multiply.outer(rows * row_mm, orientation[3:])
    lps = position + (across[:, None] + down[None]).reshape(-1, 3)
    points: Points = lps * (-1.0, -1.0, 1.0)
    return points


def _overlapping(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes chained from slice to neighbouring slice; ``boxes`` are sorted by slice."""
    groups: list[list[Box]] = []
    for box in boxes:
        joined = [g for g in groups if any(_touch(box, other) for other in g)]
        groups = [g for g in groups if g not in joined]
        groups.append([other for g in joined for other in g] + [box])
    return groups


def _touch(one: Box, other: Box) -> bool:
    return (
        abs(one.slice_number - other.slice_number) <= 1
        and one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )
