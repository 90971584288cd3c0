"""The challenge's file: its rows, their order, and what stands where nothing could be predicted."""

import csv
from pathlib import Path

import pytest

from cspine_zoo.errors import StudyRejected, UsageError
from cspine_zoo.evaluation.scores import COLUMNS
from cspine_zoo.evaluation.submission import write_submission
from cspine_zoo.rsna.prevalence import TRAINING_PREVALENCE
from cspine_zoo.zoo.checkpoint import write
from tests.inference.phantoms import SEGMENTER_PREPROCESS, classifier, entry
from tests.zoo.conftest import tiny_network


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An untrained classifier and segmenter as files."""
    folder = tmp_path_factory.mktemp("weights")
    model = classifier("cls-mine", segmenter="seg-mine")
    write(model.network, model.entry, folder / "cls-mine.safetensors")
    row = entry("seg-mine", SEGMENTER_PREPROCESS)
    write(tiny_network(), row, folder / "seg-mine.safetensors")
    return str(folder / "cls-mine.safetensors"), str(folder / "seg-mine.safetensors")


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_row_of_test_csv_is_answered_by_its_own_id_in_its_own_order(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    asked = [("b", kind) for kind in reversed(COLUMNS)] + [("a", kind) for kind in COLUMNS]
    lines = [f"id-{uid}-{kind},{uid},{kind}" for uid, kind in asked]
    text = "\n".join(["row_id,StudyInstanceUID,prediction_type", *lines])
    (tmp_path / "test.csv").write_text(text)
    path = tmp_path / "submission.csv"
    written = write_submission(tmp_path, models[0], path, segmenter=models[1])
    rows = _read(path)
    assert list(rows[0]) == ["row_id", "fractured"]
    assert [row["row_id"] for row in rows] == [f"id-{uid}-{kind}" for uid, kind in asked]
    assert written.n_studies == 2
    # Neither study has images: what is not known is answered by the prevalence.
    assert written.without_prediction == ("b", "a")
    prevalence = dict(zip(COLUMNS, TRAINING_PREVALENCE, strict=True))
    for row, (_, kind) in zip(rows, asked, strict=True):
        assert float(row["fractured"]) == pytest.approx(prevalence[kind])


def test_without_test_csv_the_studies_are_those_of_train_csv(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    head = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7"
    (tmp_path / "train.csv").write_text(f"{head}\n1.2.3,1,0,0,0,0,1,0,0\n")
    path = tmp_path / "submission.csv"
    write_submission(tmp_path, models[0], path, segmenter=models[1])
    assert [row["row_id"] for row in _read(path)] == [f"1.2.3_{kind}" for kind in COLUMNS]


def test_a_directory_of_another_kind_is_refused(tmp_path: Path, models: tuple[str, str]) -> None:
    with pytest.raises(StudyRejected) as refusal:
        write_submission(tmp_path, models[0], tmp_path / "s.csv", segmenter=models[1])
    assert refusal.value.code == "not_rsna_layout"


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, models: tuple[str, str]) -> None:
    (tmp_path / "train.csv").write_text(
        "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n1.2.3,0,0,0,0,0,0,0,0\n"
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as refusal:
        write_submission(tmp_path, models[0], tmp_path / "file" / "s.csv", segmenter=models[1])
    assert refusal.value.code == "bad_output"
