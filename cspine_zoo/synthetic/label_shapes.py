"""Vertebra solids from a label map of a real spine.

Each vertebra is cut out, put into its own frame (origin at the body's centre, z along the
spine) and kept as a signed distance on a grid, so that the spine builder can place, scale and
warp it like a parametric one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry, to_ras
from cspine_zoo.errors import UsageError
from cspine_zoo.synthetic.morphometry import SIZES
from cspine_zoo.synthetic.vertebra import REACH_MM, Variation, VertebraShape, parametric

_GRID_MM: Final = 1.0
_ATLAS_OFFSET_MM: Final = np.array([0.0, 10.5, 21.0])
"""Where the spine builder puts C1's origin on average, in C2's frame."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One vertebra of a label map: its voxels within their bounding box.

    Attributes:
        mask: bool, the box.
        low: (3,) index of the box in the map.
        geometry: of the whole map.
    """

    mask: np.ndarray
    low: np.ndarray
    geometry: Geometry

    @classmethod
    def cut(cls, mask: np.ndarray, geometry: Geometry) -> _Part:
        """The box of the true voxels of a map."""
        box = ndimage.find_objects(mask.view(np.uint8))[0]
        return cls(mask[box], np.array([side.start for side in box]), geometry)

    def world(self, voxels: np.ndarray) -> np.ndarray:
        """World mm (n, 3) of the true voxels of an array over the box."""
        return self.geometry.to_world((np.argwhere(voxels) + self.low).astype(float))


@dataclass(frozen=True, eq=False)
class SampledShape:
    """A signed distance on a grid in the vertebra's frame.

    Attributes:
        level: supplies the landmarks, from the parametric vertebra.
        grid: (X, Y, Z) distances in mm over ``REACH_MM``.
    """

    level: str
    grid: Tensor

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        reach = torch.tensor(REACH_MM, dtype=points.dtype, device=points.device)
        low, high = reach[:, :1], reach[:, 1:]
        unit = 2 * (points - low) / (high - low) - 1
        sampled = functional.grid_sample(
            self.grid.to(points.device)[None, None],
            unit.flip(0).T[None, None, None],
            padding_mode="border",
            align_corners=True,
        ).reshape(-1)
        beyond = ((points - high).clamp_min(0) + (low - points).clamp_min(0)).sum(0)
        return sampled + beyond

    def landmark(self, name: str) -> tuple[float, float, float]:
        """Place of a part, on the right where it is paired."""
        return parametric(self.level, SIZES[self.level], Variation()).landmark(name)


def read_shapes(path: Path) -> dict[str, VertebraShape]:
    """Cervical vertebrae of a NIfTI label map.

    Args:
        path: label map; numbered like VerSe (1-7 C1-C7), or with a ``.labels.json`` of the same
            name beside it that says what each number is, such as ``{"41": "C1"}``.

    Raises:
        UsageError: no such file, not a label map, C1 not above C7, or spinous processes not
            behind the bodies.
    """
    labels, geometry = _read(path)
    numbers = _numbering(path)
    present = [level for level in LEVELS if (labels == numbers[level]).any()]
    if len(present) < 3 or present != list(LEVELS[LEVELS.index(present[0]) :][: len(present)]):
        raise UsageError(
            "bad_anatomy",
            f"holds {present or 'no cervical level'}",
            file=str(path),
            hint="Give a map of C1-C7.",
        )
    parts = {level: _Part.cut(labels == numbers[level], geometry) for level in present}
    centres = {level: _body_centre(parts[level], level) for level in present}
    if centres[present[0]][2] <= centres[present[-1]][2]:
        raise UsageError(
            "bad_anatomy",
            f"{present[0]} lies below {present[-1]}",
            file=str(path),
            hint="Check its orientation.",
        )
    if not _bodies_in_front(parts):
        raise UsageError(
            "bad_anatomy",
            "the spinous processes are not behind the bodies",
            file=str(path),
            hint="Check its orientation.",
        )
    return {level: _shape(level, parts[level], centres) for level in present}


def _read(path: Path) -> tuple[np.ndarray, Geometry]:
    try:
        image: Any = nibabel.load(path)
        voxels = np.asanyarray(image.dataobj)
    except (OSError, ValueError, EOFError, zlib.error, ImageFileError) as error:
        raise UsageError(
            "bad_anatomy", f"cannot be read as NIfTI: {error}", file=str(path)
        ) from error
    if voxels.ndim != 3:
        raise UsageError(
            "bad_anatomy", f"has {voxels.ndim} dimensions instead of 3", file=str(path)
        )
    ras, affine = to_ras(voxels, image.affine)
    return ras.astype(np.int16), Geometry((ras.shape[0], ras.shape[1], ras.shape[2]), affine)


def _numbering(path: Path) -> Mapping[str, int]:
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    beside = path.with_name(f"{stem}.labels.json")
    if not beside.exists():
        return LABEL_OF
    try:
        table = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            "bad_anatomy", f"cannot be read as JSON: {error}", file=str(beside)
        ) from error
    if not isinstance(table, dict):
        raise UsageError("bad_anatomy", "is no JSON object of number to name", file=str(beside))
    found = {str(name): int(number) for number, name in table.items() if str(number).isdecimal()}
    return {level: found.get(level, LABEL_OF[level]) for level in LEVELS}


def _bodies_in_front(parts: Mapping[str, _Part]) -> bool:
    """Whether bone is heavy in front and thin behind, as body and spinous process are.

    C1 has neither and does not count.
    """
    leans = []
    for level, part in parts.items():
        y = part.world(part.mask)[:, 1]
        leans.append(0.0 if level == "C1" else y.mean() - 0.5 * (y.min() + y.max()))
    return sum(leans) > 0


def _body_centre(part: _Part, level: str) -> np.ndarray:
    """Centre of the body in world mm: the foremost piece of the vertebra near its midline.

    C2's piece includes the dens, so its centre is taken 9 mm above its lower end; C1's is the
    anterior arch.
    """
    geometry = part.geometry
    points = part.world(part.mask)
    middle = 0.5 * (points[:, 0].min() + points[:, 0].max())
    i = np.arange(part.mask.shape[0]) + part.low[0]
    band = (
        np.abs(geometry.to_world(np.stack([i, 0 * i, 0 * i], 1).astype(float))[:, 0] - middle) < 3.0
    )
    pieces, count = ndimage.label(part.mask & band[:, None, None])
    sizes = (
        ndimage.sum_labels(np.ones_like(pieces), pieces, range(1, count + 1)) * geometry.voxel_mm3
    )
    best: np.ndarray | None = None
    for index in np.flatnonzero(sizes > 60.0) + 1:
        piece = part.world(pieces == index)
        if best is None or piece[:, 1].mean() > best[:, 1].mean():
            best = piece
    if best is None:
        best = points
    centre = np.asarray(best.mean(0))
    if level == "C2":
        low = best[best[:, 2] < best[:, 2].min() + 14]
        centre = np.array([low[:, 0].mean(), low[:, 1].mean(), best[:, 2].min() + 9.0])
    return centre


def _shape(level: str, part: _Part, centres: Mapping[str, np.ndarray]) -> SampledShape:
    order = list(centres)
    place = order.index(level)
    upper = order[max(place - 1, 1 if "C1" in centres and place > 0 else 0)]
    lower = order[min(place + 1, len(order) - 1)]
    if level == "C1":
        upper, lower = order[1], order[2]
    up = centres[upper] - centres[lower]
    up = up * np.array([0.0, 1.0, 1.0]) / np.linalg.norm(up[1:])
    rotation = np.stack([np.array([1.0, 0, 0]), np.cross(up, [1.0, 0, 0]), up], axis=1)
    origin, stretch = centres[level], 1.0
    if level == "C1":
        origin = centres["C2"] + rotation @ _ATLAS_OFFSET_MM
    elif level != "C2":
        natural = np.linalg.norm(centres[upper] - centres[lower]) / max(
            1, order.index(lower) - order.index(upper)
        )
        stretch = float(natural / SIZES[level].pitch)
    return SampledShape(level, _local_distance(part, origin, rotation, stretch))


def _local_distance(
    part: _Part, origin: np.ndarray, rotation: np.ndarray, stretch: float
) -> Tensor:
    """Signed distance resampled into the vertebra's frame, heights brought to the average."""
    geometry = part.geometry
    margin = np.ceil(14.0 / np.asarray(geometry.spacing_mm)).astype(int)
    start, stop = part.low, part.low + part.mask.shape
    low = np.maximum(start - margin, 0)
    high = np.minimum(stop + margin, geometry.shape)
    box = np.pad(part.mask, [(int(m),) * 2 for m in margin])
    box = np.pad(box, [(int(a), int(b)) for a, b in zip(start - low, high - stop, strict=True)])
    outside = ndimage.distance_transform_edt(~box, sampling=geometry.spacing_mm)
    inside = ndimage.distance_transform_edt(box, sampling=geometry.spacing_mm)
    distance = ndimage.gaussian_filter(
        (outside - inside).astype(np.float32), 0.6 / np.asarray(geometry.spacing_mm)
    )
    axes = [np.arange(a, b + 1e-6, _GRID_MM) for a, b in REACH_MM]
    local = np.stack(np.meshgrid(*axes, indexing="ij"), -1) * np.array([1.0, 1.0, stretch])
    voxels = geometry.to_voxel(local @ rotation.T + origin) - low + margin
    sampled = ndimage.map_coordinates(distance, np.moveaxis(voxels, -1, 0), order=1, mode="nearest")
    return torch.from_numpy(sampled.astype(np.float32))
