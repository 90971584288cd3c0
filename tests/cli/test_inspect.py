"""``inspect``: the contract of its JSON, and the same for a person."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cspine_zoo.cli.main import main


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A soft-tissue cylinder in air, as NIfTI with the patient's left first."""
    x, y = np.meshgrid(np.arange(32) - 16, np.arange(40) - 20, indexing="ij")
    hu = np.where(x**2 + y**2 < 150, 40, -1000).astype(np.int16)
    volume = np.repeat(hu[:, :, None], 24, axis=2)
    volume[14:18, 18:22] = 700
    path = tmp_path / "neck.nii.gz"
    nib.save(nib.Nifti1Image(volume, np.diag([-2.0, 2.0, 3.0, 1.0])), path)
    return path


def test_json_is_the_documented_object(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(study), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"series", "volume", "skipped", "warnings"}
    assert set(answer["series"][0]) == {
        "index",
        "modality",
        "n_files",
        "shape",
        "spacing_mm",
        "chosen",
        "reason",
    }
    volume = answer["volume"]
    assert set(volume) == {"shape", "spacing_mm", "affine", "orientation", "hu"}
    assert set(volume["hu"]) == {"min", "max", "mean", "sha256"}
    assert volume["shape"] == [32, 40, 24]
    assert volume["spacing_mm"] == pytest.approx([2, 2, 3])
    assert volume["orientation"] == "RAS"
    assert (volume["hu"]["min"], volume["hu"]["max"]) == (-1000, 700)


def test_a_person_sees_the_same(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(study)]) == 0
    out = capsys.readouterr().out
    assert "32 x 40 x 24" in out
    assert "2 x 2 x 3 mm" in out
    assert "-1000 to 700" in out


@pytest.mark.parametrize(("words", "code"), [(["--series", "7"], 2), (["--series", "9.9.9"], 2)])
def test_a_series_that_is_not_there_is_wrong_usage(
    study: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(study), *words]) == code
    assert capsys.readouterr().out == ""


def test_what_is_no_study_is_refused_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["inspect", str(tmp_path), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "file", "reason", "hint"}
    assert error["code"]
    assert error["hint"]
