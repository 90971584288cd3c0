"""The verb: models on a directory of labelled studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.predictions import Candidate, Runner, predict_studies
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.rsna.layout import StudyRow, read_layout

REPORT: Final = "evaluation.json"


def evaluate(
    data: Path,
    models: Sequence[str],
    out: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    limit: int | None = None,
) -> dict[str, Any]:
    """Score models on all studies of a directory in the RSNA layout.

    Each study's predictions are kept under ``out``: started again with the same ``out``, the
    evaluation goes on where it stopped. The result is also written to ``out/evaluation.json``.

    Args:
        data: directory in the RSNA 2022 layout, real or synthetic.
        models: classifiers by name, or paths of ``.safetensors`` files.
        out: directory for predictions and result.
        device: ``"auto"`` or a torch device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        limit: evaluate only the first studies by UID.

    Returns:
        The object of ``cspine-zoo evaluate --json``; docs/evaluation.md says what each figure is.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: no models, no studies, or an unknown model.
        WeightsError: a model's weights cannot be had.
    """
    rows = studies_of(data, limit)
    if not models:
        raise UsageError("no_models", "Name at least one classifier to evaluate.")
    candidates = [Candidate.named(name) for name in dict.fromkeys(models)]
    records = predict_studies(rows, candidates, Runner(out, device, precision))
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
    return result


def studies_of(data: Path, limit: int | None = None) -> tuple[StudyRow, ...]:
    """The first ``limit`` studies of the layout, or all of them.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: there is nothing to evaluate.
    """
    rows = read_layout(data)[:limit]
    if not rows:
        raise UsageError("no_studies", "There is no study to evaluate.", file=data.name)
    return rows


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)
