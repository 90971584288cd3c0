"""Predict fractures of one study with one classifier."""

from __future__ import annotations

from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.inference.loading import ModelLike, Progress, find_model
from cspine_zoo.inference.segment import DEFAULT_SEGMENTER, check_volume
from cspine_zoo.inference.study import Options, run_study
from cspine_zoo.results import StudyPrediction


def predict(  # noqa: PLR0913 - the contract of the public call; all but two are keywords
    ct: CTVolume,
    model: ModelLike,
    *,
    segmenter: ModelLike | None = None,
    localizer: ModelLike | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> StudyPrediction:
    """Probability of fracture of each cervical vertebra, and of any.

    Args:
        ct: from ``read_ct``.
        model: a classifier: name, ``.safetensors`` path or loaded model.
        segmenter: instead of the one that the classifier was trained with.
        localizer: also finds the regions that look fractured: findings and heat of the result.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``, of the classifiers: masks and heat
            are float32.
        progress: told the stage (``"prepare"``, ``"segment"``, ``"localize"``,
            ``"classify"``) and its share done.

    Raises:
        StudyRejected: the study shows no cervical spine.
        UsageError: no such model, or one of another task, device or precision.
        WeightsError: a model's weights cannot be had.
    """
    check_volume(ct)
    classifier = find_model(model, "fracture-classification", device)
    own = classifier.entry.segmenter or DEFAULT_SEGMENTER
    options = Options(device, precision, localizer, progress)
    run = run_study(ct, [classifier], own if segmenter is None else segmenter, options)
    return StudyPrediction(run.study, run.predictions, run.label_map, run.heat)
