"""The commands about the zoo itself, on the manifest and weights of this installation."""

import json
from pathlib import Path

import pytest

from cspine_zoo.cli.main import main
from cspine_zoo.zoo.manifest import read_manifest

ROWS = read_manifest().rows
BUNDLED = [row.name for row in ROWS if row.files]

COLUMNS = {
    "name",
    "task",
    "parameters",
    "size_bytes",
    "available",
    "licence",
    "metrics",
    "segmenter",
    "files",
}


def test_models_as_json_are_the_rows_of_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [row.name for row in ROWS]
    for row in rows:
        assert set(row) == COLUMNS


def test_models_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "seg-*", "--task", "vertebra-segmentation"]) == 0
    out = capsys.readouterr().out
    assert not [line for line in out.splitlines() if line.startswith("cls-")]
    assert main(["models", "no-such-*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["models", "--task", "no-such-task"]) == 2


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_info_tells_the_limitations(row: object, capsys: pytest.CaptureFixture[str]) -> None:
    name = row.name  # type: ignore[attr-defined]
    assert main(["info", name]) == 0
    assert "Limitations" in capsys.readouterr().out
    assert main(["info", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name


@pytest.mark.parametrize("command", ["info", "download", "verify"])
def test_a_wrong_name_gets_close_matches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "cls-cnn-lite9"]) == 2
    assert "cls-cnn-lite0" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["download"], ["download", "--all", "cls-cnn-lite0"]])
def test_download_needs_names_or_all(words: list[str]) -> None:
    assert main(words) == 2


def test_all_that_can_be_had_is_put_where_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", "--all", "--dest", str(tmp_path)]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert paths == [tmp_path / file.filename for row in ROWS for file in row.files]
    assert set(tmp_path.iterdir()) == set(paths)


def test_verify_finds_the_installation_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", BUNDLED[0], "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "ok"
    assert len(row["sha256"]) == 64
