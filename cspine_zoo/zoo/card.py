"""Model cards: what a row says, for people to read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cspine_zoo.zoo.files import WeightFile
from cspine_zoo.zoo.manifest import Manifest, ManifestEntry, Metric, read_manifest
from cspine_zoo.zoo.sources import HUB, address

_SPDX: Final = re.compile(r"[a-z0-9.+-]+")

_CLASSIFIER: Final = "cls-cnn-lite0"
"""Beside which a card shows a localizer at work; any other does as well."""


def card(entry: ManifestEntry) -> str:
    """The model card of a row as Markdown, its limitations first."""
    sections = (
        ("Limitations", _bullets(entry.limitations)),
        ("Intended use", entry.intended_use),
        ("Use", _use(entry)),
        ("Metrics", _metrics(entry.metrics)),
        ("Calibration and operating point", _calibration(entry)),
        ("Architecture and input", _input(entry)),
        ("Training data", entry.training_data),
        ("Files", _files(entry.files)),
        ("Licences", _licences(entry)),
        ("Citation", entry.citation),
    )
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections if text)
    return f"# {entry.name}\n\n{_summary(entry)}\n\n{body}\n"


def hub_card(entry: ManifestEntry) -> str:
    """The model card as the README of a Hugging Face repository, with the hub's metadata."""
    from huggingface_hub import EvalResult, ModelCardData

    task = "image-segmentation" if "segmentation" in entry.task else "image-classification"
    licence = entry.licence.weights.lower()
    data = ModelCardData(
        license=licence if _SPDX.fullmatch(licence) else "other",
        library_name="cspine_zoo",
        pipeline_tag=task,
        tags=["medical", "ct", "cervical-spine", "fracture", entry.task],
        model_name=entry.name,
        eval_results=[
            EvalResult(
                task_type=task,
                dataset_type=metric.dataset.split(":")[0],
                dataset_name=metric.dataset,
                metric_type=metric.name,
                metric_value=metric.value,
            )
            for metric in entry.metrics
        ]
        or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{card(entry)}"


def write_cards(directory: Path, manifest: Manifest | None = None) -> list[Path]:
    """Write ``NAME.md`` for every row of a manifest, by default the package's own."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for entry in manifest or read_manifest():
        path = directory / f"{entry.name}.md"
        path.write_text(card(entry), encoding="utf-8")
        paths.append(path)
    return paths


def _summary(entry: ManifestEntry) -> str:
    return (
        f"{entry.task}, {entry.parameters:,} parameters. Generated from the weights manifest. "
        "For research and education; not a medical device."
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _use(entry: ManifestEntry) -> str:
    if not entry.files:
        return (
            "Not yet: without weights there is nothing to run. A file that `cspine-zoo train` or "
            "`cspine-zoo convert` has written is used by its path in place of the name."
        )
    study = 'cz.read_ct("study.zip")'
    calls = {
        "vertebra-segmentation": f'cz.segment({study}, "{entry.name}")',
        "fracture-localization": f'cz.predict({study}, "{_CLASSIFIER}", localizer="{entry.name}")',
    }
    call = calls.get(entry.task, f'cz.predict({study}, "{entry.name}")')
    return f"```python\nimport cspine_zoo as cz\n\nresult = {call}\n```"


def _metrics(metrics: tuple[Metric, ...]) -> str:
    """A table for each data set, below what it is and the command that measured."""
    if not metrics:
        return "None has been measured."
    origins = dict.fromkeys((metric.dataset, metric.command) for metric in metrics)
    return "\n\n".join(
        f"On {dataset}, by `{command}`:\n\n"
        + _measured(each for each in metrics if (each.dataset, each.command) == (dataset, command))
        for dataset, command in origins
    )


def _measured(metrics: Iterable[Metric]) -> str:
    rows = ((metric.name, f"{metric.value:.4g}", _interval(metric.ci95)) for metric in metrics)
    return _table(("metric", "value", "95 % interval"), rows)


def _interval(ci95: tuple[float, float] | None) -> str:
    return "not estimated" if ci95 is None else f"{ci95[0]:.4g} to {ci95[1]:.4g}"


def _calibration(entry: ManifestEntry) -> str:
    calibration, point = entry.calibration, entry.operating_point
    if point is not None and entry.task == "fracture-localization":
        return _bullets(
            (f"A finding is at least {point.vertebra:.4g} hot, chosen on {point.chosen_on}.",)
        )
    if calibration is None or point is None:
        return ""
    return _bullets(
        (
            f"Probability: sigmoid(logit / {calibration.temperature:.4g}) "
            f"({calibration.method}), fitted on {calibration.fitted_on}.",
            f"Thresholds: patient {point.patient:.4g}, vertebra {point.vertebra:.4g}, chosen on "
            f"{point.chosen_on}.",
        )
    )


def _input(entry: ManifestEntry) -> str:
    lines = [f"Architecture: `{entry.architecture.name}` with `{entry.architecture.arguments}`."]
    lines += [f"{key}: `{value}`" for key, value in entry.preprocess.to_dict().items() if value]
    lines.append(f"Labels: {', '.join(entry.labels)}.")
    if entry.segmenter is not None:
        lines.append(f"Works on the vertebrae that `{entry.segmenter}` finds.")
    return _bullets(lines)


def _files(files: tuple[WeightFile, ...]) -> str:
    if not files:
        return "There are no weights yet."
    rows = (
        (
            f"`{file.filename}`",
            f"{file.size_bytes:,}",
            f"`{file.sha256}`",
            "; ".join(
                address(source, HUB) + " (untried)" * source.untried for source in file.sources
            ),
        )
        for file in files
    )
    return _table(("file", "bytes", "sha256", "from"), rows)


def _licences(entry: ManifestEntry) -> str:
    licence = entry.licence
    return _bullets(
        (f"Code: {licence.code}", f"Weights: {licence.weights}", f"Data: {licence.data}")
    )
