"""What an evaluation puts into a manifest row: figures with their data and their command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from cspine_zoo.errors import UsageError
from cspine_zoo.zoo.manifest import ManifestEntry, Metric

_OF_VERTEBRAE: Final = ("auc", "recall", "specificity", "precision", "f1", "accuracy")
_OF_PATIENTS: Final = ("auc", "recall", "specificity", "accuracy", "f1")
_OF_BOTH: Final = ("log_loss", "ece", "twin_order")
_OF_SEGMENTERS: Final = ("identification_rate", "centroid_error_mm")


def figures_of_row(
    entry: ManifestEntry, result: Mapping[str, Any], classifier: str, dataset: str
) -> tuple[Metric, ...]:
    """The metrics of a row from what ``evaluate`` returned.

    Args:
        entry: a classifier, or the segmenter or the localizer that it ran with.
        result: the object of ``evaluate --json``.
        classifier: which of its models to read.
        dataset: what the studies are, in words.

    Raises:
        UsageError: the evaluation is of other models (``not_evaluated``).
    """
    models = result["models"]
    if classifier not in models:
        raise UsageError(
            "not_evaluated",
            f"the evaluation is of {', '.join(models) or 'no model'}.",
            file=classifier,
            hint="Run cspine-zoo evaluate with this model first.",
        )
    # By its name alone: where a file lay on somebody's machine helps nobody.
    named_as = PurePath(classifier).name.removesuffix(".safetensors")
    command = f"cspine-zoo evaluate --data DIR --model {named_as} --out DIR"
    if entry.task == "fracture-localization":
        command = f"{command} --localizer {entry.name}"
    named = _FIGURES_OF[entry.task](models[classifier])
    return tuple(
        Metric(dataset, name, round(figure["value"], 4), _interval(figure), command)
        for name, figure in named
        if figure["value"] is not None
    )


def _of_segmenter(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for level, figure in model["dice"].items():
        yield f"dice {level}", figure
    for name in _OF_SEGMENTERS:
        yield name, model[name]


def _of_classifier(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for unit, names in (("vertebra", _OF_VERTEBRAE), ("patient", _OF_PATIENTS)):
        for name in names:
            yield f"{unit} {name}", model[unit][name]
    for name in _OF_BOTH:
        yield name, model[name]


def _of_localizer(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, figure in model["findings"].items():
        yield f"findings {name}", figure


_FIGURES_OF: Final = {
    "vertebra-segmentation": _of_segmenter,
    "fracture-classification": _of_classifier,
    "fracture-localization": _of_localizer,
}


def _interval(figure: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = figure["ci95"]
    return None if ends is None else (round(ends[0], 4), round(ends[1], 4))
