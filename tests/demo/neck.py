"""A small neck of ellipsoids, and comparisons of it with chosen numbers."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

import cspine_zoo as cz
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume, ReadReport
from cspine_zoo.results import (
    Comparison,
    LabelMap,
    ModelPrediction,
    SliceScore,
    StageSeconds,
    StudySummary,
    VertebraPrediction,
)

SHAPE = (64, 72, 96)
SPACING_MM = (1.6, 1.6, 1.8)
THRESHOLD = 0.5


def geometry() -> Geometry:
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = (-50, -70, -90)
    return Geometry(SHAPE, affine)


def centre_mm(level: str) -> tuple[float, float, float]:
    """World centre of a vertebra: C1 on top, the neck bent forward and leaning to one side."""
    place = cz.LEVELS.index(level)
    return 2.0 * place - 6, -12 + 6 * float(np.sin(place / 2)), 60 - 18.0 * place


@cache
def neck() -> tuple[CTVolume, LabelMap]:
    """Voxels and labels: bone in soft tissue in air."""
    grid = geometry()
    world = grid.to_world(np.moveaxis(np.indices(SHAPE), 0, -1).astype(np.float64))
    hu = np.full(SHAPE, -1000, dtype=np.float32)
    hu[np.hypot(world[..., 0], world[..., 1] + 10) < 45] = 50
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, level in enumerate(cz.LEVELS, start=1):
        distance = (world - centre_mm(level)) / np.array([20.0, 15.0, 7.5])
        body = (distance**2).sum(axis=-1) < 1
        hu[body] = 500
        labels[body] = label
    return CTVolume(hu, grid, ReadReport(used=("neck",), seconds=0.1)), LabelMap(labels, grid)


def prediction(
    model: str, probabilities: Mapping[str, float | None], patient: float | None
) -> ModelPrediction:
    """What a variant says; levels not named get 0.05, levels with None are not found."""
    weighted = "cnn" not in model
    return ModelPrediction(
        model=model,
        weights_sha256="0" * 64,
        segmenter="seg-unet3d-small",
        segmenter_sha256="1" * 64,
        localizer=None,
        package_version=cz.__version__,
        device="cpu",
        precision="float32",
        patient_overall=patient,
        threshold=THRESHOLD,
        vertebrae=tuple(
            _vertebra(level, probabilities.get(level, 0.05), weighted) for level in cz.LEVELS
        ),
        findings=(),
        seconds=StageSeconds(0.1, 0.4, 3.2, 0.8, 4.5),
    )


def _vertebra(level: str, value: float | None, weighted: bool) -> VertebraPrediction:
    if value is None:
        return VertebraPrediction(level, False, 0.0, None, None, THRESHOLD)
    x, y, z = centre_mm(level)
    shares = np.exp(-((np.arange(9) - 5.0) ** 2) / 4)
    shares /= shares.sum()
    slices = tuple(
        SliceScore(z - 6 + 1.5 * n, float(share) if weighted else None, value * float(n) / 8)
        for n, share in enumerate(shares)
    )
    return VertebraPrediction(level, True, 1.0, (x, y, z), value, THRESHOLD, slices)


def comparison(
    predictions: Sequence[ModelPrediction] | None = None, label_map: LabelMap | None = None
) -> Comparison:
    """Three variants that disagree about C5, unless others are given."""
    grid = geometry()
    return Comparison(
        StudySummary(SHAPE, grid.spacing_mm, "RAS", SHAPE[2]),
        tuple(predictions) if predictions is not None else disagreeing(),
        label_map,
    )


def disagreeing() -> tuple[ModelPrediction, ...]:
    return (
        prediction("cls-cnn-lite0", {"C5": 0.22, "C2": 0.31}, 0.41),
        prediction("cls-bigru-lite0", {"C5": 0.84}, 0.86),
        prediction("cls-bigru-attention-lite0", {"C5": 0.91, "C6": 0.55}, 0.97),
    )
