"""From a name or a file to a model; never with weights that nobody meant."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cspine_zoo.errors import ManifestError, UsageError, WeightsError
from cspine_zoo.zoo import bundle as bundling
from cspine_zoo.zoo import checkpoint, golden
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.device import resolve_device
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.load import load_entry, load_model
from cspine_zoo.zoo.manifest import ManifestEntry, read_manifest
from tests.zoo.conftest import cached, classifier_row, on_hub, segmenter_row, tiny_network

Written = tuple[ManifestEntry, Path]
VOLUME = torch.linspace(-1, 1, 512).reshape(1, 1, 8, 8, 8)


def test_a_file_is_a_model_by_its_path(written: Written) -> None:
    entry, path = written
    model = load_model(str(path), device="cpu")
    assert model.entry == entry
    assert model.weights_sha256 == file_sha256(path)
    assert model.preprocess == entry.preprocess
    assert model.device == torch.device("cpu")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    network = tiny_network().eval()
    assert model(VOLUME).shape == (1, 10, 8, 8, 8)
    assert torch.allclose(model(VOLUME), network(VOLUME), atol=0.02)


def test_a_row_is_looked_up_and_checked(written: Written, shelf: Shelf) -> None:
    entry, _ = on_hub(written[0])
    cached(written, shelf)
    assert load_entry(entry, None, shelf).weights_sha256 == entry.files[0].sha256


def test_own_weights_for_a_row(written: Written, shelf: Shelf, tmp_path: Path) -> None:
    entry, _ = on_hub(written[0])
    other = checkpoint.write(tiny_network(seed=5), entry, tmp_path / "own.safetensors")
    model = load_entry(entry, tmp_path / "own.safetensors", shelf)
    assert model.weights_sha256 == other.files[0].sha256
    assert model.entry.files == other.files
    with pytest.raises(WeightsError, match="own2"):
        load_entry(entry, tmp_path / "own2.safetensors", shelf)


def test_random_weights_only_when_asked_for(written: Written, shelf: Shelf) -> None:
    bare = written[0].with_files()
    with pytest.raises(WeightsError) as caught:
        load_entry(bare, None, shelf)
    assert caught.value.code == "no_weights"
    model = load_entry(bare, "random", shelf)
    assert model.weights_sha256 == "random"
    again = load_entry(bare, "random", shelf)
    assert torch.equal(model(VOLUME), again(VOLUME))


def test_a_row_that_counts_other_parameters_is_refused(written: Written, shelf: Shelf) -> None:
    with pytest.raises(WeightsError) as caught:
        load_entry(replace(written[0], parameters=7), written[1], shelf)
    assert caught.value.code == "wrong_parameters"


def test_an_unknown_name_and_a_pickle() -> None:
    with pytest.raises(UsageError) as caught:
        load_model("cls-that-nobody-made")
    assert caught.value.code == "unknown_model"
    with pytest.raises(WeightsError):
        load_model("absent.pth")


def test_devices_by_name() -> None:
    assert resolve_device("cpu") == resolve_device(torch.device("cpu"))
    assert resolve_device("auto").type in ("cuda", "mps", "cpu")
    for name, code in (("abacus", "unknown_device"), ("cuda:77", "device_unavailable")):
        with pytest.raises(UsageError) as caught:
            resolve_device(name)
        assert caught.value.code == code


def test_a_row_that_does_not_fit_the_manifest_is_not_bundled(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text("[]")
    orphan = ManifestEntry.from_dict(classifier_row())
    with pytest.raises(ManifestError, match="no segmenter"):
        bundling.bundle(tiny_network(), orphan, weights=tmp_path / "bundled", manifest=manifest)
    assert not (tmp_path / "bundled").exists()
    assert manifest.read_text() == "[]"


def test_a_bundled_network_answers_as_its_row_says(tmp_path: Path, shelf: Shelf) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text("[]")
    entry = ManifestEntry.from_dict(segmenter_row())
    row = bundling.bundle(tiny_network(), entry, weights=shelf.bundled, manifest=manifest)
    assert list(read_manifest(manifest)) == [row]
    assert [path.name for path in shelf.bundled.iterdir()] == ["seg-tiny.safetensors"]
    model = load_entry(row, None, shelf)
    golden.check(model)
    with torch.no_grad():
        model.network.get_parameter("head.bias").add_(0.01)
    with pytest.raises(WeightsError) as caught:
        golden.check(model)
    assert caught.value.code == "golden_mismatch"
    bundling.bundle(tiny_network(seed=2), entry, weights=shelf.bundled, manifest=manifest)
    rows = json.loads(manifest.read_text())
    assert [item["name"] for item in rows] == ["seg-tiny"]
    assert rows[0]["files"][0]["sha256"] != row.files[0].sha256
