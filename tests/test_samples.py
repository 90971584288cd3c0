import json
from pathlib import Path

import pytest

from cspine_zoo import samples
from cspine_zoo.errors import CSpineZooError

TRUTH = dict.fromkeys(("C1", "C2", "C3", "C4", "C5", "C6", "C7"), 0) | {"patient_overall": 0}


def _card(**changes: object) -> dict[str, object]:
    card = {"title": "t", "description": "d", "file": "a.nii.gz", "truth": TRUTH, "command": "c"}
    return card | changes


def test_samples_of_this_installation_are_whole() -> None:
    for sample in samples.sample_studies():
        assert sample.path.is_file()
        assert sample.title
        assert sample.description
        if sample.truth:
            levels = [value for row, value in sample.truth.items() if row != "patient_overall"]
            assert sample.truth["patient_overall"] == max(levels)


def test_a_sample_is_read_from_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "samples_dir", lambda: tmp_path)
    assert samples.sample_studies() == ()
    (tmp_path / "one.json").write_text(json.dumps(_card()))
    (tmp_path / "a.nii.gz").write_bytes(b"")
    (sample,) = samples.sample_studies()
    assert sample.name == "one"
    assert sample.path == tmp_path / "a.nii.gz"
    assert sample.truth == TRUTH


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps(_card(file="missing.nii.gz")),
        json.dumps(_card(truth={"C1": 1})),
        json.dumps(_card(truth=TRUTH | {"C1": 2})),
        json.dumps({key: value for key, value in _card().items() if key != "title"}),
    ],
)
def test_a_damaged_sample_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(samples, "samples_dir", lambda: tmp_path)
    (tmp_path / "one.json").write_text(text)
    (tmp_path / "a.nii.gz").write_bytes(b"")
    with pytest.raises(CSpineZooError) as refusal:
        samples.sample_studies()
    assert refusal.value.code == "bad_sample"
    assert refusal.value.file == "one.json"
