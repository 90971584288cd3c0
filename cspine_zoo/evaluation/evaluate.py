"""The verb: models on a directory of labelled studies."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.evaluated import Evaluated
from cspine_zoo.evaluation.outcomes import Outcomes
from cspine_zoo.evaluation.page import to_page
from cspine_zoo.evaluation.paired import compare_models
from cspine_zoo.evaluation.pictures import draw_worst
from cspine_zoo.evaluation.predictions import Candidate, Runner, predict_studies
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.inference.loading import ModelLike
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.zoo.model import ZooModel

REPORT: Final = "evaluation.json"
COMPARISONS: Final = "comparisons.json"
STUDIES: Final = "studies.json"
PAGE: Final = "report.html"


def evaluate(  # noqa: PLR0913 - the contract of the public call; the rest are keywords
    data: Path,
    models: Sequence[ModelLike],
    out: Path,
    *,
    segmenter: ModelLike | None = None,
    localizer: ModelLike | None = None,
    device: str = "auto",
    precision: str = "auto",
    limit: int | None = None,
    pictures: bool | None = None,
) -> dict[str, Any]:
    """Score models on all studies of a directory in the RSNA layout.

    Each study's predictions are kept under ``out``: started again with the same ``out``, the
    evaluation goes on where it stopped. The result is also written to ``out/evaluation.json``, the
    paired differences of each two models to ``out/comparisons.json``, truth and answers study by
    study, without names, to ``out/studies.json``, and everything with charts to
    ``out/report.html``.

    Args:
        data: directory in the RSNA 2022 layout, real or synthetic.
        models: classifiers: names, paths of ``.safetensors`` files, or loaded models.
        out: directory for predictions and result.
        segmenter: in place of the one that each classifier was trained with.
        localizer: also finds regions in each study; ``findings`` are figures of these.
        device: ``"auto"`` or a torch device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        limit: evaluate only the first studies by UID.
        pictures: whether the page shows slices and UIDs of the worst studies. By default only if
            every study is marked synthetic: nobody's CT gets into a report unasked.

    Returns:
        The object of ``cspine-zoo evaluate --json``; docs/evaluation.md says what each figure is.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: no models, no studies, an unknown model, or ``out`` cannot be written to.
        WeightsError: a model's weights cannot be had.
    """
    rows = studies_of(data, limit)
    candidates = candidates_of(models, segmenter)
    make_output(out)
    runner = Runner(out, device, precision, segmenter, localizer)
    records = predict_studies(rows, candidates, runner)
    known = {}
    for candidate in candidates:
        point = candidate.entry.operating_point
        known[candidate.name] = ModelRecords(
            records=records[candidate.name],
            patient_threshold=point.patient if point else 0.5,
            vertebra_threshold=point.vertebra if point else 0.5,
        )
    result = report(rows, known)
    write_json(out / REPORT, result)
    write_json(out / STUDIES, Outcomes.gather(rows, known).to_dict())
    evaluated = Evaluated(rows, known, result, compare_models(rows, known))
    write_json(out / COMPARISONS, {"comparisons": evaluated.pairs})
    with_pictures = evaluated.synthetic if pictures is None else pictures
    drawn = draw_worst(evaluated) if with_pictures else None
    write_text(out / PAGE, to_page(evaluated, drawn))
    return result


def studies_of(data: Path, limit: int | None = None) -> tuple[StudyRow, ...]:
    """The first ``limit`` studies of the layout, or all of them.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: there is nothing to evaluate.
    """
    if limit is not None and limit < 1:
        raise UsageError("bad_limit", f"At least one study is needed, not {limit}.")
    rows = read_layout(data)[:limit]
    if not rows:
        raise UsageError("no_studies", "There is no study to evaluate.", file=data.name)
    return rows


def candidates_of(
    models: Sequence[ModelLike], segmenter: ModelLike | None = None
) -> tuple[Candidate, ...]:
    """The classifiers to evaluate.

    Raises:
        UsageError: none is named, one is unknown, not a classifier, or named twice.
    """
    listed = [models] if isinstance(models, (str, os.PathLike, ZooModel)) else list(models)
    candidates = tuple(Candidate.named(model, segmenter) for model in listed)
    if not candidates:
        raise UsageError("no_model", "Name at least one classifier to evaluate.")
    names = [candidate.entry.name for candidate in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError("same_model_twice", f"Given more than once: {', '.join(twice)}.")
    return candidates


def make_output(out: Path) -> None:
    """Make the directory of predictions and results.

    Raises:
        UsageError: it cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UsageError(
            "bad_output",
            f"The directory cannot be written to: {error.strerror or error}.",
            file=str(out),
            hint="Choose another with --out.",
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` in one step."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, content: str) -> None:
    """Write ``content`` in one step."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)
