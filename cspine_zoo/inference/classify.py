"""From vertebrae to probabilities of fracture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError, ManifestError
from cspine_zoo.inference.extent import LevelExtent
from cspine_zoo.inference.patient import patient_probability
from cspine_zoo.inference.precision import running, to_input
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.preprocess.crops import VertebraCrop, crop_in_box
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.results import LabelMap, SliceScore, VertebraPrediction
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

    def __init__(self, ct: CTVolume, label_map: LabelMap) -> None:
        self._ct = ct
        self._labels = label_map.labels
        self._kept: dict[tuple[str, Preprocess], VertebraCrop] = {}

    def of(self, extent: LevelExtent, preprocess: Preprocess) -> VertebraCrop:
        """The crop of a level that was found."""
        key = (extent.level, preprocess)
        if key not in self._kept:
            if extent.box is None:
                raise ValueError(f"{extent.level} has no voxels")
            mask = self._labels[extent.box] == LABEL_OF[extent.level]
            self._kept[key] = crop_in_box(
                self._ct.voxels, self._ct.geometry, extent.box, mask, preprocess
            )
        return self._kept[key]


@dataclass(frozen=True, eq=False)
class _Scored:
    """A vertebra's crop with the network's answer to it."""

    crop: VertebraCrop
    logit: float
    slice_logits: Sequence[float]
    slice_weights: Sequence[float]


def classify(
    model: ZooModel,
    levels: Sequence[LevelExtent],
    crops: Crops,
    precision: str,
    progress: Callable[[float], None],
) -> Verdict:
    """Score every vertebra that was found.

    Where a network judges vertebrae by themselves, they go through it one by one: a level's
    probability then cannot depend on which others are in view, and memory stays that of one. A
    network that reads a whole spine gets those that were found, and reads on over the others.

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
    found = [extent for extent in levels if extent.found]
    patient_logit: float | None = None
    if isinstance(model.network, SpineClassifier) and found:
        scored, patient_logit = _spine(model, levels, crops, precision)
    else:
        scored = {}
        for done, extent in enumerate(found):
            scored[extent.level] = _vertebra(model, crops.of(extent, model.preprocess), precision)
            progress((done + 1) / len(found))
    name = model.entry.name
    vertebrae = tuple(
        _prediction(extent, scored.get(extent.level), temperature, thresholds.vertebra, name)
        for extent in levels
    )
    progress(1.0)
    of_head = None if patient_logit is None else _probability(patient_logit, temperature, name)
    rule = model.entry.architecture.arguments.get("patient", "any")
    overall = patient_probability(rule, vertebrae, of_head)
    return Verdict(vertebrae, overall, thresholds.patient)


def _prediction(
    extent: LevelExtent, scored: _Scored | None, temperature: float, threshold: float, name: str
) -> VertebraPrediction:
    probability: float | None = None
    slices: tuple[SliceScore, ...] = ()
    if scored is not None:
        probability = _probability(scored.logit, temperature, name)
        slices = tuple(
            SliceScore(float(z), weight, _probability(logit, temperature, name))
            for z, weight, logit in zip(
                scored.crop.positions_mm, scored.slice_weights, scored.slice_logits, strict=True
            )
        )
    return VertebraPrediction(
        level=extent.level,
        found=extent.found,
        visible_fraction=extent.visible_fraction,
        centroid_mm=extent.centroid_mm,
        probability=probability,
        threshold=threshold,
        slices=slices,
    )


def vertebra_images(crop: VertebraCrop, device: torch.device) -> torch.Tensor:
    """A crop's slices (S, C, H, W) as encoders take them."""
    return to_input(torch.from_numpy(np.ascontiguousarray(crop.images)), device)


def spine_images(
    levels: Sequence[LevelExtent], cut: Mapping[str, VertebraCrop], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """All levels' slices (L, S, C, H, W), zero where one was not found, and which were (1, L)."""
    stack = torch.zeros(len(levels), *next(iter(cut.values())).images.shape)
    for place, extent in enumerate(levels):
        if extent.found:
            stack[place] = torch.from_numpy(np.ascontiguousarray(cut[extent.level].images))
    present = torch.tensor([[extent.found for extent in levels]], device=device)
    return to_input(stack.flatten(0, 1), device).unflatten(0, stack.shape[:2]), present


def _vertebra(model: ZooModel, crop: VertebraCrop, precision: str) -> _Scored:
    images = vertebra_images(crop, model.device)
    with running(model.device, precision):
        output: ClassifierOutput = model(images[None])  # a batch of one vertebra
    return _scored(crop, output, 0)


def _spine(
    model: ZooModel, levels: Sequence[LevelExtent], crops: Crops, precision: str
) -> tuple[dict[str, _Scored], float | None]:
    """Every level that was found, and the patient head's logit if there is one."""
    cut = {e.level: crops.of(e, model.preprocess) for e in levels if e.found}
    images, present = spine_images(levels, cut, model.device)
    with running(model.device, precision):
        output: ClassifierOutput = model(images[None], present)
    scored = {
        extent.level: _scored(cut[extent.level], output, (0, place))
        for place, extent in enumerate(levels)
        if extent.found
    }
    patient = output.patient_logit
    return scored, None if patient is None else float(patient[0])


def _scored(crop: VertebraCrop, output: ClassifierOutput, at: int | tuple[int, int]) -> _Scored:
    return _Scored(
        crop,
        float(output.logit[at]),
        output.slice_logits[at].float().tolist(),
        output.slice_weights[at].float().tolist(),
    )


def _calibration(model: ZooModel) -> tuple[float, OperatingPoint]:
    calibration: Calibration | None = model.entry.calibration
    if calibration is None or model.entry.operating_point is None:
        raise ManifestError(
            "wrong_value",
            "a classifier's row needs calibration and operating_point",
            file=model.entry.name,
        )
    return calibration.temperature, model.entry.operating_point


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
