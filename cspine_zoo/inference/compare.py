"""Compare classifiers on one study."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import UsageError
from cspine_zoo.inference.loading import ModelLike, Progress, find_model
from cspine_zoo.inference.segment import DEFAULT_SEGMENTER, check_volume
from cspine_zoo.inference.study import Options, run_study
from cspine_zoo.results import Comparison
from cspine_zoo.zoo.model import ZooModel


def compare(  # noqa: PLR0913 - the contract of the public call; all but two are keywords
    ct: CTVolume,
    models: Sequence[ModelLike],
    *,
    segmenter: ModelLike | None = None,
    localizer: ModelLike | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Comparison:
    """Predict with several classifiers on one segmentation.

    Args:
        ct: from ``read_ct``.
        models: classifiers: names, ``.safetensors`` paths or loaded models, each once.
        segmenter: shared by all; needed where they were trained with different ones.
        localizer: also finds the regions that look fractured, once for all classifiers.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``, of the classifiers: masks and heat
            are float32.
        progress: told the stage (``"prepare"``, ``"segment"``, ``"localize"``,
            ``"classify"``) and its share done.

    Raises:
        StudyRejected: the study shows no cervical spine.
        UsageError: no model or one twice, no such model, or one of another task, device or
            precision; classifiers with different segmenters and none named.
        WeightsError: a model's weights cannot be had.
    """
    check_volume(ct)
    listed = [models] if isinstance(models, (str, os.PathLike, ZooModel)) else list(models)
    classifiers = [find_model(model, "fracture-classification", device) for model in listed]
    _check_distinct(classifiers)
    shared = _own_segmenter(classifiers) if segmenter is None else segmenter
    options = Options(device, precision, localizer, progress)
    run = run_study(ct, classifiers, shared, options)
    return Comparison(run.study, run.predictions, run.label_map, run.heat)


def _check_distinct(classifiers: Sequence[ZooModel]) -> None:
    if not classifiers:
        raise UsageError(
            "no_model",
            "There is no model to compare.",
            hint="List classifiers with: cspine-zoo models --task fracture-classification",
        )
    names = [classifier.entry.name for classifier in classifiers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            "same_model_twice",
            f"Results go by name, and {', '.join(twice)} comes more than once.",
            hint="Give each model once.",
        )


def _own_segmenter(classifiers: Sequence[ZooModel]) -> str:
    names = sorted({c.entry.segmenter or DEFAULT_SEGMENTER for c in classifiers})
    if len(names) > 1:
        raise UsageError(
            "different_segmenters",
            f"These classifiers were trained with different segmenters: {', '.join(names)}.",
            hint="Name the one to share, with segmenter= or --segmenter.",
        )
    return names[0]
