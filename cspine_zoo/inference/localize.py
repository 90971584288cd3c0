"""Where vertebrae are broken: regions of heat in their crops, as boxes in the patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cspine_zoo.errors import CSpineZooError, ManifestError
from cspine_zoo.inference.classify import Crops
from cspine_zoo.inference.extent import LevelExtent
from cspine_zoo.inference.precision import FLOAT32, running, to_input
from cspine_zoo.preprocess.crops import VertebraCrop
from cspine_zoo.results import Finding, RegionHeat
from cspine_zoo.zoo.model import ZooModel

LEAST_HEAT: Final = 0.5
"""A region's heat, where a row names no operating point of its own."""

LEAST_REGION_MM3: Final = 10.0
"""A smaller region is no finding: the 6 mm2 from which on a slice counts as fractured in training,
on slices of 1.5 mm."""

_EVERY_NEIGHBOUR: Final = np.ones((3, 3, 3), np.bool_)
"""A fracture line runs from slice to slice; pieces that touch at corners are one."""


@dataclass(frozen=True, eq=False)
class Localization:
    """What a localizer says about one study.

    Attributes:
        localizer: the model's name; None without one.
        findings: of all levels from the head down, the hottest of each level first.
        heat: of every level that was found.
        seconds: wall time.
    """

    localizer: str | None
    findings: tuple[Finding, ...]
    heat: tuple[RegionHeat, ...]
    seconds: float


NO_LOCALIZATION: Final = Localization(None, (), (), 0.0)


def localize(
    model: ZooModel,
    levels: Sequence[LevelExtent],
    crops: Crops,
    progress: Callable[[float], None],
) -> Localization:
    """Find regions that look fractured in every vertebra that was found, in float32.

    A region is one from an operating point on; rounding would let it come and go.

    Args:
        model: a localizer.
        levels: C1-C7 of the segmentation.
        crops: of the same segmentation.
        progress: told the share that is done.

    Raises:
        ManifestError: the row's network is none, or the row describes no crops.
        CSpineZooError: ``not_finite``.
    """
    began = perf_counter()
    found = [extent for extent in levels if extent.found]
    findings: list[Finding] = []
    heat: list[RegionHeat] = []
    for done, extent in enumerate(found):
        crop = crops.of(extent, model.preprocess)
        region = RegionHeat(extent.level, _heat(model, crop), crop.geometry)
        heat.append(region)
        findings += regions(region, crop.slice_indices, model.entry.name, _least_heat(model))
        progress((done + 1) / len(found))
    return Localization(model.entry.name, tuple(findings), tuple(heat), perf_counter() - began)


def regions(
    heat: RegionHeat, slice_indices: NDArray[np.int64], model: str, least_heat: float = LEAST_HEAT
) -> list[Finding]:
    """Connected regions of at least ``least_heat``, the hottest first.

    A region's score is its greatest heat, its box holds all of its voxels, and its slice is the
    study's slice nearest to the hottest point.

    Args:
        heat: of one level.
        slice_indices: int (S,), the study's slice nearest to each of its slices.
        model: name of the localizer.
        least_heat: 0 to 1.
    """
    pieces, count = ndimage.label(heat.probabilities >= least_heat, _EVERY_NEIGHBOUR)
    findings = []
    for number, box in enumerate(ndimage.find_objects(pieces, max_label=count), start=1):
        inside = pieces[box] == number
        if np.count_nonzero(inside) * heat.geometry.voxel_mm3 < LEAST_REGION_MM3:
            continue
        values = np.where(inside, heat.probabilities[box], -1.0)
        hottest = int(np.unravel_index(values.argmax(), values.shape)[0]) + box[0].start
        start = np.array([part.start for part in box])
        findings.append(
            Finding(
                level=heat.level,
                score=float(values.max()),
                box_mm=_box_mm(heat, np.argwhere(inside) + start),
                slice_index=int(slice_indices[hottest]),
                model=model,
            )
        )
    return sorted(findings, key=lambda finding: -finding.score)


def _box_mm(
    heat: RegionHeat, voxels: NDArray[np.int64]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The world box of voxels (n, 3) given as slice, row and column, with their full extent."""
    centres = heat.geometry.to_world(voxels[:, ::-1].astype(np.float64))
    half = 0.5 * np.abs(heat.geometry.affine[:3, :3]).sum(axis=1)
    low, high = centres.min(axis=0) - half, centres.max(axis=0) + half
    return (
        (float(low[0]), float(low[1]), float(low[2])),
        (float(high[0]), float(high[1]), float(high[2])),
    )


def _least_heat(model: ZooModel) -> float:
    point = model.entry.operating_point
    return LEAST_HEAT if point is None else point.vertebra


def _heat(model: ZooModel, crop: VertebraCrop) -> NDArray[np.float32]:
    calibration = model.entry.calibration
    temperature = 1.0 if calibration is None else calibration.temperature
    with running(model.device, FLOAT32):
        images = to_input(torch.from_numpy(np.ascontiguousarray(crop.images)), model.device)
        output = model(images[None])
        if not isinstance(output, torch.Tensor) or output.shape[1:] != images[:, 0].shape:
            raise ManifestError(
                "bad_architecture",
                f"{model.entry.architecture.name} gives no heat for every pixel of a crop",
                file=model.entry.name,
            )
        heat = (output[0].float() / temperature).sigmoid().cpu().numpy()
    if not np.isfinite(heat).all():
        raise CSpineZooError(
            "not_finite",
            "The localizer's answer is not a number.",
            file=model.entry.name,
            hint="Verify its weights: `cspine-zoo verify NAME`.",
        )
    return np.asarray(heat, np.float32)
