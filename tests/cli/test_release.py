"""From studies to a model of the package: ``evaluate``, ``calibrate``, ``bundle``."""

import json
import shutil
from pathlib import Path

import pytest

from cspine_zoo.cli.main import main
from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.figures_of_row import figures_of_row
from cspine_zoo.evaluation.stored import find_stored, stored_path
from cspine_zoo.resources import manifest_path
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.manifest import read_manifest

NAME = "cls-cnn-lite0"


def _figure(value: float | None) -> dict[str, object]:
    return {"value": value, "ci95": None if value is None else [value - 0.1, value + 0.1], "n": 3}


def _result() -> dict[str, object]:
    unit = {
        name: _figure(0.5)
        for name in ("auc", "recall", "specificity", "precision", "f1", "accuracy")
    }
    model = {
        "vertebra": {**unit, "auc": _figure(0.87654)},
        "patient": {**unit, "auc": _figure(None)},
        "log_loss": _figure(0.4),
        "ece": _figure(0.02),
        "twin_order": _figure(0.9),
        "dice": {"C1": _figure(0.8), "C2": _figure(0.7)},
        "identification_rate": _figure(1.0),
        "centroid_error_mm": _figure(1.1),
        "findings": {"recall": _figure(0.6), "false_per_study": _figure(0.5)},
    }
    return {"models": {NAME: model}}


def test_a_row_takes_its_own_figures_with_data_and_command() -> None:
    manifest = read_manifest()
    of_classifier = figures_of_row(manifest[NAME], _result(), NAME, "six studies")
    found = {metric.name: metric for metric in of_classifier}
    assert found["vertebra auc"].value == 0.8765
    assert found["vertebra auc"].ci95 == (0.7765, 0.9765)
    assert "patient auc" not in found  # undefined figures are no figures
    assert "dice C1" not in found
    assert {metric.dataset for metric in of_classifier} == {"six studies"}
    assert all(NAME in metric.command for metric in of_classifier)
    of_segmenter = figures_of_row(manifest["seg-unet3d-small"], _result(), NAME, "six studies")
    assert [metric.name for metric in of_segmenter][:3] == [
        "dice C1",
        "dice C2",
        "identification_rate",
    ]
    of_localizer = figures_of_row(manifest["loc-unet-lite0"], _result(), NAME, "six studies")
    assert [metric.name for metric in of_localizer] == [
        "findings recall",
        "findings false_per_study",
    ]
    assert all("--localizer loc-unet-lite0" in metric.command for metric in of_localizer)
    with pytest.raises(UsageError) as caught:
        figures_of_row(manifest[NAME], _result(), "cls-bigru-lite0", "six studies")
    assert caught.value.code == "not_evaluated"


def test_figures_without_their_data_are_refused(tmp_path: Path) -> None:
    assert main(["bundle", NAME, "--evaluation", str(tmp_path)]) == 2
    words = ["bundle", NAME, "--evaluation", str(tmp_path), "--dataset", "x"]
    assert main([*words, "--manifest", str(tmp_path / "no.json")]) == 2


@pytest.mark.slow
def test_a_model_is_calibrated_and_bundled(tmp_path: Path) -> None:
    data, out, weights = tmp_path / "data", tmp_path / "out", tmp_path / "weights"
    words = ["synthesize", "--out", str(data), "--n", "2", "--twins", "--preset", "sample"]
    assert main([*words, "--workers", "1"]) == 0
    shared = ["--data", str(data), "--out", str(out)]
    assert main(["calibrate", NAME, *shared, "--dataset", "two studies"]) == 0
    fitted = json.loads((out / "calibration.json").read_text())
    file = out / f"{NAME}.safetensors"
    row = load_model(file, "cpu").entry
    assert row.calibration is not None
    assert row.calibration.temperature == round(fitted["temperature"], 4)
    assert row.calibration.fitted_on == "two studies"
    assert main(["evaluate", "--model", str(file), *shared]) == 0
    manifest = tmp_path / "manifest.json"
    shutil.copy(manifest_path(), manifest)
    weights.mkdir()
    told = ["--dataset", "two studies", "--limitation", "Seen two studies."]
    place = ["--manifest", str(manifest), "--weights", str(weights)]
    words = ["bundle", str(file), "--evaluation", str(out), *told, *place]
    assert main([*words, "--cards", str(tmp_path / "cards")]) == 0
    stored = read_manifest(manifest)[NAME]
    assert stored.limitations[0] == "Seen two studies."
    assert {metric.dataset for metric in stored.metrics} == {"two studies"}
    assert stored.golden is not None
    assert (weights / stored.files[0].filename).stat().st_size == stored.files[0].size_bytes
    assert "Seen two studies." in (tmp_path / "cards" / f"{NAME}.md").read_text()
    kept = find_stored(stored, weights)
    assert kept is not None
    assert kept.record.dataset == "two studies"
    figures = {metric.name: metric.value for metric in stored.metrics}
    assert figures["log_loss"] == round(kept.figures["log_loss"]["value"], 4)
    assert str(tmp_path) not in stored_path(NAME, weights).read_text()
    # The same network again, without an evaluation: what is known of it stays known.
    again = ["bundle", str(weights / f"{NAME}.safetensors"), "--limitation", "Another.", *place]
    assert main(again) == 0
    assert find_stored(read_manifest(manifest)[NAME], weights) is not None
