"""Predictions for every study of a directory, in the format of the RSNA 2022 challenge."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.predictions import Candidate, Runner, predict_studies
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.evaluation.scores import COLUMNS
from cspine_zoo.rsna import tables
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.rsna.prevalence import TRAINING_PREVALENCE
from cspine_zoo.rsna.uids import require_folder_name

TEST: Final = "test.csv"
TEST_COLUMNS: Final = ("row_id", tables.UID, "prediction_type")
TEST_IMAGES: Final = "test_images"

SUBMISSION_COLUMNS: Final = ("row_id", "fractured")

_UNLABELLED: Final = (0,) * len(LEVELS)


@dataclass(frozen=True)
class Submission:
    """What was written.

    Attributes:
        path: the CSV file.
        n_studies: studies in it.
        without_prediction: UIDs of studies that could not be predicted; they hold the prevalence
            of the challenge's training data, which is the least that a guess costs.
    """

    path: Path
    n_studies: int
    without_prediction: tuple[str, ...]


def write_submission(
    data: Path,
    model: str,
    path: Path,
    *,
    segmenter: str | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Submission:
    """Predict every study and write ``row_id,fractured`` with eight rows a study.

    The studies are those of ``test.csv`` with ``test_images``, or else of ``train.csv`` with
    ``train_images``. Each prediction is kept in a folder beside ``path``, named ``path`` and
    ``.studies``: started again, the work goes on where it stopped.

    Args:
        data: directory in the RSNA 2022 layout.
        model: a classifier by name, or the path of a ``.safetensors`` file.
        path: the CSV file to write; it appears whole, at the end.
        segmenter: in place of the one that the classifier was trained with.
        device: ``"auto"`` or a torch device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: no studies, an unknown model, or ``path`` cannot be written.
        WeightsError: the model's weights cannot be had.
    """
    row_ids = _row_ids(data)
    if not row_ids:
        raise UsageError("no_studies", "There is no study to predict.", file=data.name)
    candidate = Candidate.named(model, segmenter)
    runner = Runner(path.with_name(f"{path.name}.studies"), device, precision, segmenter)
    try:
        runner.out.mkdir(parents=True, exist_ok=True)
        records = predict_studies(_rows(data, row_ids), [candidate], runner)[candidate.name]
        _write(path, records, row_ids)
    except OSError as error:
        raise UsageError(
            "bad_output",
            f"the file cannot be written: {error.strerror or error}.",
            file=str(path),
            hint="Choose a folder that can be written to.",
        ) from error
    missing = tuple(record.uid for record in records if record.patient_overall is None)
    return Submission(path, len(records), missing)


def _row_ids(data: Path) -> dict[str, dict[str, str]]:
    """Row id of each kind of prediction, by study, in the order of the file."""
    if not (data / TEST).is_file():
        return {
            row.uid: {kind: f"{row.uid}_{kind}" for kind in COLUMNS} for row in read_layout(data)
        }
    row_ids: dict[str, dict[str, str]] = {}
    for row in tables.read_table(data / TEST, TEST_COLUMNS):
        uid, kind = require_folder_name(row[tables.UID]), row["prediction_type"]
        row_ids.setdefault(uid, {})[kind] = row["row_id"]
    return row_ids


def _rows(data: Path, uids: Iterable[str]) -> list[StudyRow]:
    # Labels are not looked at here; a study of test.csv has none.
    images = TEST_IMAGES if (data / TEST).is_file() else "train_images"
    return [StudyRow(uid, _UNLABELLED, data / images / uid) for uid in uids]


def _write(path: Path, records: Iterable[StudyRecord], row_ids: dict[str, dict[str, str]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(SUBMISSION_COLUMNS)
    for record in records:
        known = {level: record.probability(level) for level in LEVELS}
        known[PATIENT_OVERALL] = record.patient_overall
        for kind, row_id in row_ids[record.uid].items():
            probability = known.get(kind)
            if probability is None:
                probability = TRAINING_PREVALENCE[COLUMNS.index(kind)]
            table.writerow((row_id, f"{probability:.6f}"))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)
