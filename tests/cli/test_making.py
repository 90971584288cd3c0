"""``synthesize``, ``train`` and ``evaluate``: what they refuse, and one small set of studies."""

import csv
import json
from pathlib import Path

import pytest

from cspine_zoo.cli.main import main, make_parser
from cspine_zoo.cli.train import command_line


@pytest.mark.parametrize(
    "words",
    [
        ["synthesize", "--out", "DIR"],
        ["synthesize", "--out", "DIR", "--n", "0"],
        ["synthesize", "--out", "DIR", "--n", "1", "--preset", "no-such"],
        ["synthesize", "--out", "DIR", "--n", "1", "--format", "png"],
        ["train", "no-such-model", "--out", "DIR"],
        ["train", "cls-cnn-lite0", "--out", "DIR", "--data", "DIR"],
        ["train", "cls-cnn-lite0", "--out", "DIR", "--segmenter", "truth"],
        ["train", "cls-cnn-lite0"],
        ["evaluate", "--data", "DIR", "--out", "DIR"],
        ["evaluate", "--data", "DIR", "--out", "DIR", "--model", "x", "--limit", "0"],
    ],
)
def test_wrong_usage_is_two_and_leaves_nothing_behind(words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert main([str(folder) if word == "DIR" else word for word in words]) == 2
    assert not folder.exists()


def test_evaluate_refuses_a_directory_of_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--data", str(tmp_path), "--model", "x", "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not_rsna_layout"


def test_the_command_of_a_model_card_names_nobodys_folders() -> None:
    words = [
        "train",
        "cls-cnn-lite0",
        "--out",
        "/home/jane/runs",
        "--anatomy",
        "/home/jane/a b.nii",
    ]
    options = make_parser().parse_args(words)
    assert command_line(options) == (
        "cspine-zoo train cls-cnn-lite0 --data synthetic --out DIR --anatomy 'a b.nii'"
    )


@pytest.mark.slow
def test_a_set_of_twins_is_written_in_the_layout_that_the_others_read(tmp_path: Path) -> None:
    words = ["synthesize", "--out", str(tmp_path), "--n", "2", "--twins", "--preset", "sample"]
    assert main([*words, "--workers", "1", "--preview", str(tmp_path / "sheet.png")]) == 0
    with (tmp_path / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["patient_overall"] for row in rows) == ["0", "1"]
    assert (tmp_path / "sheet.png").stat().st_size > 0
    for row in rows:
        study = tmp_path / "train_images" / row["StudyInstanceUID"]
        assert main(["inspect", str(study)]) == 0
