"""From vertebrae to probabilities of fracture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError, ManifestError
from cspine_zoo.inference.extent import LevelExtent
from cspine_zoo.inference.precision import running, to_input
from cspine_zoo.inference.segment import Segmentation
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.preprocess.crops import VertebraCrop, crop_in_box
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.results import SliceScore, VertebraPrediction
from cspine_zoo.zoo.manifest import Calibration, OperatingPoint
from cspine_zoo.zoo.model import ZooModel


@dataclass(frozen=True)
class Verdict:
    """What a classifier says about the vertebrae of one study, and about the patient."""

    vertebrae: tuple[VertebraPrediction, ...]
    patient_overall: float | None
    patient_threshold: float


class Crops:
    """Crops of a study's vertebrae, each cut once for all classifiers that want it alike."""

    def __init__(self, ct: CTVolume, segmentation: Segmentation) -> None:
        self._ct = ct
        self._labels = segmentation.label_map.labels
        self._kept: dict[tuple[str, Preprocess], VertebraCrop] = {}

    def of(self, extent: LevelExtent, preprocess: Preprocess) -> VertebraCrop:
        """The crop of a level that was found."""
        key = (extent.level, preprocess)
        if key not in self._kept:
            if extent.box is None:
                raise ValueError(f"{extent.level} has no voxels")
            mask = self._labels[extent.box] == LABEL_OF[extent.level]
            self._kept[key] = crop_in_box(
                self._ct.hu, self._ct.geometry, extent.box, mask, preprocess
            )
        return self._kept[key]


def classify(
    model: ZooModel,
    levels: Sequence[LevelExtent],
    crops: Crops,
    precision: str,
    progress: Callable[[float], None],
) -> Verdict:
    """Score every vertebra that was found.

    Vertebrae go through the network one by one: a level's probability then cannot depend on
    which others are in view, and memory stays that of one.

    Args:
        model: a classifier.
        levels: C1-C7 of the segmentation.
        crops: of the same segmentation.
        precision: ``"float32"`` or ``"bfloat16"``.
        progress: told the share that is done.

    Raises:
        ManifestError: the row has no calibration or operating point, or an unknown one.
        CSpineZooError: ``not_finite``.
    """
    temperature, thresholds = _calibration(model)
    vertebrae = []
    for done, extent in enumerate(levels):
        probability: float | None = None
        slices: tuple[SliceScore, ...] = ()
        if extent.found:
            crop = crops.of(extent, model.preprocess)
            output = _run(model, crop, precision)
            probability = _probability(float(output.logit[0]), temperature, model.entry.name)
            slices = _slice_scores(output, crop, temperature, model.entry.name)
        vertebrae.append(
            VertebraPrediction(
                level=extent.level,
                found=extent.found,
                visible_fraction=extent.visible_fraction,
                centroid_mm=extent.centroid_mm,
                probability=probability,
                threshold=thresholds.vertebra,
                slices=slices,
            )
        )
        progress((done + 1) / len(levels))
    return Verdict(tuple(vertebrae), any_fracture(vertebrae), thresholds.patient)


def any_fracture(vertebrae: Sequence[VertebraPrediction]) -> float | None:
    """Probability that any vertebra is fractured, taking them as independent.

    Returns:
        1 - prod(1 - p) over the levels that were scored; None if none was.
    """
    whole = [1.0 - v.probability for v in vertebrae if v.probability is not None]
    return 1.0 - math.prod(whole) if whole else None


def _calibration(model: ZooModel) -> tuple[float, OperatingPoint]:
    calibration: Calibration | None = model.entry.calibration
    if calibration is None or model.entry.operating_point is None:
        raise ManifestError(
            "wrong_value",
            "a classifier's row needs calibration and operating_point",
            file=model.entry.name,
        )
    return calibration.temperature, model.entry.operating_point


def _run(model: ZooModel, crop: VertebraCrop, precision: str) -> ClassifierOutput:
    with running(model.device, precision):
        # (S, C, H, W) is laid out for the encoder, then becomes a batch of one vertebra.
        images = to_input(torch.from_numpy(np.ascontiguousarray(crop.images)), model.device)
        output: ClassifierOutput = model(images[None])
        return ClassifierOutput(
            output.logit.float().cpu(),
            output.slice_logits.float().cpu(),
            output.slice_weights.float().cpu(),
        )


def _slice_scores(
    output: ClassifierOutput, crop: VertebraCrop, temperature: float, name: str
) -> tuple[SliceScore, ...]:
    return tuple(
        SliceScore(float(z), float(weight), _probability(float(logit), temperature, name))
        for z, weight, logit in zip(
            crop.positions_mm, output.slice_weights[0], output.slice_logits[0], strict=True
        )
    )


def _probability(logit: float, temperature: float, name: str) -> float:
    if not math.isfinite(logit):
        raise CSpineZooError(
            "not_finite",
            "The classifier's answer is not a number.",
            file=name,
            hint="Run it with precision float32; if that fails too, verify its weights.",
        )
    scaled = logit / temperature
    if scaled < 0:  # exp of a large positive number overflows
        return math.exp(scaled) / (1.0 + math.exp(scaled))
    return 1.0 / (1.0 + math.exp(-scaled))
