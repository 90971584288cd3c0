"""``predict``: what it refuses before it starts, what it writes, and one real run."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from cspine_zoo import LEVELS, list_models, sample_studies
from cspine_zoo.cli.main import main
from cspine_zoo.cli.outcome import _prediction_lines
from cspine_zoo.cli.outputs import FILES, parse_formats, write_outputs
from cspine_zoo.errors import UsageError
from cspine_zoo.zoo.checkpoint import write
from tests.export.studies import example_prediction
from tests.inference.phantoms import classifier

HERE = [row.name for row in list_models("cls-*") if row.available == "bundled"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained classifier as a file, which is what ``train`` writes."""
    path = tmp_path_factory.mktemp("weights") / "cls-mine.safetensors"
    model = classifier("cls-mine", segmenter="seg-unet3d-small")
    write(model.network, model.entry, path)
    return str(path)


@pytest.fixture
def empty(tmp_path: Path) -> str:
    folder = tmp_path / "no study"
    folder.mkdir()
    return str(folder)


def _refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    code = main([*words, "--json"])
    error: dict[str, str] = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "file", "reason", "hint"}
    return code, error


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--format", "csv"],
        ["--segment-only", "--model", "MODEL"],
        ["--data", "DIR", "--model", "MODEL"],
        ["--submission", "FILE.csv", "--model", "MODEL"],
        ["--data", "DIR", "--submission", "FILE.csv", "--segment-only"],
        ["--model", "MODEL", "--out", "DIR", "--format", "dicom"],
        ["--model", "MODEL", "--out", "DIR", "--format", ","],
        ["--segment-only", "--out", "DIR", "--format", "csv"],
        ["--precision", "float16", "--model", "MODEL"],
    ],
)
def test_contradictory_options_are_refused_before_any_work(
    words: list[str],
    empty: str,
    checkpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = {"MODEL": checkpoint, "DIR": str(tmp_path / "out"), "FILE.csv": str(tmp_path / "f.csv")}
    code, error = _refusal(["predict", empty, *(known.get(w, w) for w in words)], capsys)
    assert code == 2
    assert error["code"] in ("usage", "no_model", "unknown_format")
    assert error["hint"]
    assert not (tmp_path / "out").exists()


def test_without_a_model_the_classifiers_are_listed(
    empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = _refusal(["predict", empty], capsys)
    assert (code, error["code"]) == (2, "no_model")
    for row in list_models(task="fracture-classification"):
        assert row.name in error["hint"]


def test_a_study_that_is_none_is_refused_with_three(
    empty: str, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = _refusal(["predict", empty, "--model", checkpoint], capsys)
    assert code == 3
    assert error["reason"]
    assert error["hint"]


def test_a_changed_byte_in_a_checkpoint_is_refused_with_four(
    checkpoint: str, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(Path(checkpoint).read_bytes()[:-1])
    code, error = _refusal(["predict", empty, "--model", str(cut)], capsys)
    assert code == 4
    assert "cut.safetensors" in error["file"]


def test_a_segmenter_is_no_classifier(
    empty: str, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", empty, "--model", checkpoint, "--segmenter", checkpoint]
    code, error = _refusal(words, capsys)
    assert (code, error["code"]) == (2, "wrong_task")


def test_an_output_folder_that_cannot_be_is_refused_before_the_study_is_read(
    empty: str, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["predict", empty, "--model", checkpoint, "--out", str(tmp_path / "file" / "out")]
    code, error = _refusal(words, capsys)
    assert (code, error["code"]) == (2, "bad_output")


def test_formats_are_a_list_with_commas_in_any_order() -> None:
    assert parse_formats(None, tuple(FILES)) == tuple(FILES)
    assert parse_formats(" nifti, CSV", tuple(FILES)) == ("csv", "nifti")
    with pytest.raises(UsageError, match="dicom"):
        parse_formats("json,dicom", tuple(FILES))


def test_every_format_has_its_file(tmp_path: Path) -> None:
    result = example_prediction()
    written = write_outputs(result, result.to_dict(), tmp_path, tuple(FILES))
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in written} == {
        "prediction.json",
        "prediction.csv",
        "report.html",
        "vertebrae.nii.gz",
    }
    content = json.loads((tmp_path / "prediction.json").read_text())
    assert content == json.loads(result.to_json(file_names=False))


def test_the_table_marks_what_is_over_its_threshold() -> None:
    lines = _prediction_lines(example_prediction())
    (c5,) = [line for line in lines if line.startswith("C5")]
    assert "0.910 *" in c5
    assert "0.200" in c5
    assert "0.200 *" not in c5
    (c1,) = [line for line in lines if line.startswith("C1")]
    assert c1.split() == ["C1", "no", "0%", "-", "-"]


def test_the_sample_goes_all_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = sample_studies()[0]
    words = ["predict", str(sample.path), "--out", str(tmp_path), "--json"]
    for name in HERE[:2]:
        words += ["--model", name]
    assert main(words) == 0
    out, err = capsys.readouterr()
    answer: dict[str, Any] = json.loads(out)
    assert [prediction["model"] for prediction in answer["predictions"]] == HERE[:2]
    for prediction in answer["predictions"]:
        assert [row["level"] for row in prediction["vertebrae"]] == list(LEVELS)
        for row in prediction["vertebrae"]:
            assert row["found"] == (row["probability"] is not None)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES.values())
    assert json.loads((tmp_path / "prediction.json").read_text()) == answer
    assert "segment" in err


def test_segment_only_finds_the_vertebrae(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(sample_studies()[0].path), "--segment-only", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["predictions"] == []
    levels = answer["segmentation"]["vertebrae"]
    assert [level["level"] for level in levels] == list(LEVELS)
    assert sum(level["found"] for level in levels) >= 5


def test_a_segmenter_given_as_model_is_wrong_usage(
    empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = _refusal(["predict", empty, "--model", "seg-unet3d-small"], capsys)
    assert (code, error["code"]) == (2, "wrong_task")
    assert HERE[0] in error["hint"]


def test_namespace_is_not_shared_between_runs() -> None:
    """``--model`` appends: a list that is kept would grow from one call to the next."""
    from cspine_zoo.cli.main import make_parser

    first = make_parser().parse_args(["predict", "a", "--model", "x"])
    second = make_parser().parse_args(["predict", "a", "--model", "y"])
    assert isinstance(first, Namespace)
    assert (first.model, second.model) == (["x"], ["y"])
