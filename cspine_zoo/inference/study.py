"""One segmentation, any number of classifiers: the way that every prediction goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from cspine_zoo import __version__
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.inference.classify import Crops, classify
from cspine_zoo.inference.loading import ModelLike, Progress, find_model
from cspine_zoo.inference.localize import NO_LOCALIZATION, Localization, localize
from cspine_zoo.inference.precision import FLOAT32, resolve_precision
from cspine_zoo.inference.segment import Segmentation, check_volume, segment_with
from cspine_zoo.results import (
    LabelMap,
    ModelPrediction,
    RegionHeat,
    StageSeconds,
    StudySummary,
)
from cspine_zoo.zoo.model import ZooModel


@dataclass(frozen=True)
class Options:
    """How a study is to be run, as the public functions take it."""

    device: str = "auto"
    precision: str = "auto"
    localizer: ModelLike | None = None
    progress: Progress | None = None


@dataclass(frozen=True, eq=False)
class StudyRun:
    """Everything that came out of one study."""

    study: StudySummary
    predictions: tuple[ModelPrediction, ...]
    label_map: LabelMap
    heat: tuple[RegionHeat, ...]


def run_study(
    ct: CTVolume, classifiers: Sequence[ZooModel], segmenter: ModelLike, options: Options
) -> StudyRun:
    """Segment once, localize once if asked to, and classify with each model.

    Raises:
        StudyRejected: ``no_cervical_spine``.
        UsageError: no such model, or one of another task, device or precision.
        WeightsError: a model's weights cannot be had.
    """
    check_volume(ct)
    localizer = (
        None
        if options.localizer is None
        else find_model(options.localizer, "fracture-localization", options.device)
    )
    model = find_model(segmenter, "vertebra-segmentation", options.device)
    resolve_precision(options.precision, model.device)  # before minutes of work
    segmentation = segment_with(ct, model, FLOAT32, options.progress)
    crops = Crops(ct, segmentation.label_map)
    found = _Found(ct, segmentation, crops, _localized(localizer, segmentation, crops, options))
    predictions = tuple(
        _classify(classifier, found, options, (number, len(classifiers)))
        for number, classifier in enumerate(classifiers)
    )
    summary = summary_of(ct, segmentation)
    return StudyRun(summary, predictions, segmentation.label_map, found.localization.heat)


@dataclass(frozen=True, eq=False)
class _Found:
    """What all classifiers of a study share."""

    ct: CTVolume
    segmentation: Segmentation
    crops: Crops
    localization: Localization


def summary_of(ct: CTVolume, segmentation: Segmentation) -> StudySummary:
    """Technical facts of a study with everything that was noticed on the way."""
    return StudySummary(
        shape=ct.geometry.shape,
        spacing_mm=ct.geometry.spacing_mm,
        orientation=ct.geometry.orientation,
        n_slices=ct.geometry.shape[2],
        skipped=ct.report.skipped,
        warnings=(*ct.report.warnings, *segmentation.notices),
    )


def _localized(
    localizer: ZooModel | None, segmentation: Segmentation, crops: Crops, options: Options
) -> Localization:
    if localizer is None:
        return NO_LOCALIZATION

    def tell(share: float) -> None:
        if options.progress is not None:
            options.progress("localize", share)

    return localize(localizer, segmentation.levels, crops, tell)


def _classify(
    model: ZooModel, found: _Found, options: Options, place: tuple[int, int]
) -> ModelPrediction:
    def tell(share: float) -> None:
        if options.progress is not None:
            options.progress("classify", (place[0] + share) / place[1])

    segmentation, localization = found.segmentation, found.localization
    began = perf_counter()
    precision = resolve_precision(options.precision, model.device)
    verdict = classify(model, segmentation.levels, found.crops, precision, tell)
    read = found.ct.report.seconds
    # The contract has no stage of its own for findings: they are judged with the probabilities.
    classified = perf_counter() - began + localization.seconds
    prepare, segmented = segmentation.prepare_seconds, segmentation.segment_seconds
    return ModelPrediction(
        model=model.entry.name,
        weights_sha256=model.weights_sha256,
        segmenter=segmentation.segmenter,
        segmenter_sha256=segmentation.segmenter_sha256,
        localizer=localization.localizer,
        package_version=__version__,
        device=str(model.device),
        precision=precision,
        patient_overall=verdict.patient_overall,
        threshold=verdict.patient_threshold,
        vertebrae=verdict.vertebrae,
        findings=localization.findings,
        seconds=StageSeconds(
            read=read,
            prepare=prepare,
            segment=segmented,
            classify=classified,
            total=read + prepare + segmented + classified,
        ),
    )
