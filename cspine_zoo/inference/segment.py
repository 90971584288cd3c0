"""From a study to a label map of its vertebrae."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume, Notice
from cspine_zoo.errors import ManifestError, UsageError
from cspine_zoo.inference.blocks import volume_logits
from cspine_zoo.inference.body import body_box
from cspine_zoo.inference.borders import settle_borders
from cspine_zoo.inference.decide import decide
from cspine_zoo.inference.extent import LevelExtent, level_extents
from cspine_zoo.inference.loading import ModelLike, Progress, find_model, network_of
from cspine_zoo.inference.naming import name_levels, no_cervical_spine
from cspine_zoo.inference.precision import AUTO, FLOAT32, resolve_precision
from cspine_zoo.inference.upsample import to_study_grid
from cspine_zoo.models.segmenter import Segmenter
from cspine_zoo.preprocess.resample import resample
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.preprocess.window import apply_window
from cspine_zoo.results import LabelMap
from cspine_zoo.zoo.model import ZooModel

DEFAULT_SEGMENTER: Final = "seg-unet3d-small"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Where the vertebrae of one study are.

    Attributes:
        label_map: on the study's own grid.
        levels: C1-C7: found or not, where, how much in view.
        notices: levels that were not found, and doubts about names.
        segmenter: the model's name.
        segmenter_sha256: of its weights.
        device: where it ran.
        precision: what it ran in.
        prepare_seconds: wall time of cutting and resampling.
        segment_seconds: wall time of the network, naming and the way back to the study's grid.
    """

    label_map: LabelMap
    levels: tuple[LevelExtent, ...]
    notices: tuple[Notice, ...]
    segmenter: str
    segmenter_sha256: str
    device: str
    precision: str
    prepare_seconds: float
    segment_seconds: float


def segment(
    ct: CTVolume,
    segmenter: ModelLike = DEFAULT_SEGMENTER,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Segmentation:
    """Find and name the cervical vertebrae of a study.

    Args:
        ct: from ``read_ct``.
        segmenter: name, ``.safetensors`` path or loaded model.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.
        precision: ``"auto"``, which is ``"float32"`` here, or ``"bfloat16"``. A voxel that flips
            at the tip of a vertebra moves what classifiers see of it: all but this function
            take masks in float32, whatever precision they are asked for.
        progress: told stage and share done.

    Raises:
        StudyRejected: ``no_cervical_spine``.
        UsageError: no such model, or one of another task, device or precision.
        WeightsError: the model's weights cannot be had.
    """
    check_volume(ct)
    model = find_model(segmenter, "vertebra-segmentation", device)
    settled = resolve_precision(FLOAT32 if precision == AUTO else precision, model.device)
    return segment_with(ct, model, settled, progress)


def segment_with(
    ct: CTVolume, model: ZooModel, precision: str, progress: Progress | None = None
) -> Segmentation:
    """Segment with a loaded model, in a settled precision; raises as ``segment`` does."""
    began = perf_counter()
    windowed, grid = _prepare(ct, model.preprocess)
    prepared = perf_counter()
    _tell(progress, "prepare", 1.0)

    share = _share_of(progress, 0.9)
    network: Segmenter = network_of(
        model,
        Segmenter,  # type: ignore[type-abstract]  # it is compared with, never made
        "cannot segment volumes",
    )
    logits = volume_logits(network, windowed, model.device, precision, share)
    voxels = decide(logits, model.entry.labels)
    del logits
    naming = name_levels(voxels.labels, grid)
    settled = settle_borders(naming.labels, voxels.labels, windowed, model.preprocess.window, grid)
    del windowed
    labels, spine_box = to_study_grid(settled.labels, voxels.bone, grid, ct.geometry)
    del voxels
    label_map = LabelMap(labels, ct.geometry)
    levels = level_extents(label_map, spine_box)
    segmented = perf_counter()
    _tell(progress, "segment", 1.0)
    return Segmentation(
        label_map=label_map,
        levels=levels,
        notices=(*naming.notices, *settled.notices, *_missing(levels)),
        segmenter=model.entry.name,
        segmenter_sha256=model.weights_sha256,
        device=str(model.device),
        precision=precision,
        prepare_seconds=prepared - began,
        segment_seconds=segmented - prepared,
    )


def check_volume(ct: CTVolume) -> None:
    """Refuse what is not a volume, such as a path.

    Raises:
        UsageError: ``not_a_volume``.
    """
    if not isinstance(ct, CTVolume):
        raise UsageError(
            "not_a_volume",
            f"A CTVolume is needed, not {type(ct).__name__}.",
            hint="Read the study first: read_ct(path).",
        )


def _prepare(ct: CTVolume, preprocess: Preprocess) -> tuple[NDArray[np.float32], Geometry]:
    """The body, on the segmenter's grid, in its window."""
    if preprocess.spacing_mm is None or preprocess.orientation != "RAS":
        raise ManifestError("bad_preprocess", "a segmenter needs spacing_mm and orientation RAS")
    box = body_box(ct)
    if box is None:
        raise no_cervical_spine()
    body = ct.geometry.cropped([s.start for s in box], [s.stop - s.start for s in box])
    grid = body.with_spacing(preprocess.spacing_mm)
    return apply_window(resample(ct.voxels[box], body, grid), preprocess.window), grid


def _missing(levels: tuple[LevelExtent, ...]) -> list[Notice]:
    return [
        Notice("level_not_found", f"{extent.level} was not found and has no probability.")
        for extent in levels
        if not extent.found
    ]


def _tell(progress: Progress | None, stage: str, share: float) -> None:
    if progress is not None:
        progress(stage, share)


def _share_of(progress: Progress | None, whole: float) -> Callable[[float], None]:
    return lambda share: _tell(progress, "segment", whole * share)
