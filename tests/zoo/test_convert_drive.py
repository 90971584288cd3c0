"""A shared Google Drive folder as a source of checkpoints: list, choose, fetch, convert."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from cspine_zoo.cli.main import main
from cspine_zoo.conversion.drive import SYSTEM_1, fetch_file
from cspine_zoo.errors import DownloadError, UsageError
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.manifest import ManifestEntry
from tests.zoo.conftest import segmenter_row, tiny_network
from tests.zoo.servers import Drive

BEST, NOTES, INNER = (f"{word}-identifier-of-33-letters" for word in ("best", "note", "fold"))
FILES = {"fold0_best.pth": BEST, "notes.txt": NOTES}


def _published(drive: Drive) -> None:
    stream = io.BytesIO()
    torch.save(tiny_network(1).state_dict(), stream)
    drive.files = {BEST: stream.getvalue(), NOTES: b"hello"}
    drive.folders = {SYSTEM_1: {"models": INNER}, INNER: FILES}


@pytest.mark.slow
def test_the_folder_of_system_1_is_listed_chosen_from_fetched_and_converted(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _published(drive)
    assert main(["convert", "--from-drive", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [Path(file["path"]).name for file in listed] == list(FILES)
    row = tmp_path / "row.safetensors"
    checkpoint.write(tiny_network(), ManifestEntry.from_dict(segmenter_row()), row)
    out = tmp_path / "ours.safetensors"
    words = ["convert", "fold0_best.pth", "--from-drive", "--model", str(row), "--out", str(out)]
    assert main(words) == 0
    model = load_model(out, device="cpu")
    assert SYSTEM_1 in model.entry.training_data
    expected = tiny_network(1).state_dict()
    assert all(torch.equal(model.network.state_dict()[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["absent.pth", "best.pth"])
def test_a_wrong_name_is_answered_with_those_that_there_are(
    drive: Drive, tmp_path: Path, name: str
) -> None:
    _published(drive)
    with pytest.raises(UsageError) as caught:
        fetch_file(f"https://drive.google.com/drive/folders/{SYSTEM_1}?usp=sharing", name, tmp_path)
    assert caught.value.code == "no_such_file"
    assert "fold0_best.pth" in caught.value.hint


def test_what_is_no_folder_and_what_is_offline_ask_nobody(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        fetch_file("my folder", "a.pth", tmp_path)
    assert caught.value.code == "not_a_folder"
    monkeypatch.setenv("CSPINE_ZOO_OFFLINE", "1")
    with pytest.raises(DownloadError) as offline:
        fetch_file(SYSTEM_1, "a.pth", tmp_path)
    assert offline.value.code == "offline"
    assert not drive.log
