"""The verb that gives a row its temperature and operating points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.bootstrap import FloatArray
from cspine_zoo.evaluation.calibration import (
    choose_threshold,
    fit_temperature,
    logits_of,
    probabilities_of,
)
from cspine_zoo.evaluation.evaluate import candidates_of, make_output, studies_of, write_json
from cspine_zoo.evaluation.predictions import Runner, predict_studies
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.inference.loading import ModelLike
from cspine_zoo.inference.patient import any_of
from cspine_zoo.rsna.layout import StudyRow

CALIBRATION: Final = "calibration.json"

_ANY: Final = "any"
"""The patient's rule of rows that name none."""


@dataclass(frozen=True)
class Calibration:
    """What a manifest row takes from a validation set.

    Attributes:
        temperature: divides raw logits.
        patient_threshold: operating point of ``patient_overall`` at that temperature.
        vertebra_threshold: operating point of a vertebra at that temperature.
    """

    temperature: float
    patient_threshold: float
    vertebra_threshold: float


def calibrate(  # noqa: PLR0913 - as evaluate, whose directory it shares
    data: Path,
    model: ModelLike,
    out: Path,
    *,
    segmenter: ModelLike | None = None,
    device: str = "auto",
    precision: str = "auto",
    limit: int | None = None,
) -> Calibration:
    """Fit temperature and operating points on studies that the model was not trained on.

    Predictions under ``out`` are those of ``evaluate``: what one has predicted, the other reads.
    The result is also written to ``out/calibration.json``.

    Args:
        data: directory in the RSNA 2022 layout.
        model: a classifier: name, path of a ``.safetensors`` file, or loaded model.
        out: directory for predictions and result.
        segmenter: in place of the one that the classifier was trained with.
        device: ``"auto"`` or a torch device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        limit: use only the first studies by UID.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: an unknown model, or studies of one kind only.
        WeightsError: the model's weights cannot be had.
    """
    rows = studies_of(data, limit)
    (candidate,) = candidates_of([model], segmenter)
    make_output(out)
    runner = Runner(out, device, precision, segmenter)
    records = predict_studies(rows, [candidate], runner)[candidate.name]
    row = candidate.entry.calibration
    rule = str(candidate.entry.architecture.arguments.get("patient", _ANY))
    found = fit(rows, records, row.temperature if row else 1.0, rule)
    write_json(
        out / CALIBRATION, {"model": candidate.name, "n_studies": len(rows), **asdict(found)}
    )
    return found


def fit(
    rows: Sequence[StudyRow],
    records: Sequence[StudyRecord],
    temperature: float,
    rule: str = _ANY,
) -> Calibration:
    """Temperature and operating points from records made with a known ``temperature``.

    Vertebrae that were not scored take no part; nor do studies without any. Where the ``rule`` of
    the patient asks a head, the patient's own probability is taken to the new temperature.

    Raises:
        UsageError: fewer than two kinds of vertebrae or patients were scored.
    """
    scored: list[tuple[FloatArray, int]] = []
    answers: list[float] = []
    labels: list[int] = []
    for row, record in zip(rows, records, strict=True):
        found = [level for level in LEVELS if record.probability(level) is not None]
        if not found:
            continue
        own = logits_of(np.array([record.probability(level) for level in found]), temperature)
        labels.extend(row.level(level) for level in found)
        scored.append((own, row.patient_overall))
        answers.append(record.patient_overall or 0.0)
    if not scored:
        raise UsageError("nothing_scored", "No vertebra of these studies was scored.")
    flat, flags = np.concatenate([own for own, _ in scored]), np.array(labels, dtype=np.int64)
    fitted = fit_temperature(flat, flags)
    calibrated = [probabilities_of(own, fitted) for own, _ in scored]
    patients = (
        np.array([any_of(own.tolist()) for own in calibrated])
        if rule == _ANY
        else probabilities_of(logits_of(np.array(answers), temperature), fitted)
    )
    highest = np.array([own.max() for own in calibrated])
    broken = np.array([flag for _, flag in scored], dtype=np.bool_)
    return Calibration(
        temperature=fitted,
        patient_threshold=choose_threshold(patients[broken], patients[~broken]),
        vertebra_threshold=choose_threshold(
            np.concatenate(calibrated)[flags == 1], highest[~broken]
        ),
    )
