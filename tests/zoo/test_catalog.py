"""What is listed, verified and downloaded is what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cspine_zoo.errors import UsageError, WeightsError
from cspine_zoo.resources import manifest_path
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.card import card, write_cards
from cspine_zoo.zoo.catalog import list_models, model_rows
from cspine_zoo.zoo.files import BundledSource
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.manifest import Golden, Manifest, ManifestEntry, read_manifest
from cspine_zoo.zoo.verify import download, verify_weights
from tests.zoo.conftest import cached, classifier_row, on_hub, sourced
from tests.zoo.servers import Hub

Written = tuple[ManifestEntry, Path]
KEYS = [
    "name",
    "task",
    "parameters",
    "size_bytes",
    "available",
    "licence",
    "metrics",
    "segmenter",
    "files",
]
CARDS = manifest_path().parent / "docs" / "models"


def _manifest(entry: ManifestEntry) -> Manifest:
    return Manifest((entry, ManifestEntry.from_dict(classifier_row())))


def test_rows_say_where_weights_can_be_had(written: Written, shelf: Shelf) -> None:
    entry, _ = on_hub(written[0])
    bundled = sourced(entry, BundledSource("bundled", "seg-tiny.safetensors"))

    def available(row: ManifestEntry) -> list[str]:
        return [row.available for row in model_rows(_manifest(row), shelf)]

    assert available(bundled) == ["none", "none"]
    assert available(entry) == ["remote", "none"]
    cached(written, shelf)
    assert available(entry) == ["cached", "none"]
    read_only = replace(shelf, cache=shelf.cache.parent / "own", shared=(shelf.cache,))
    assert [row.available for row in model_rows(_manifest(entry), read_only)] == ["cached", "none"]
    shelf.bundled.mkdir()
    (shelf.bundled / "seg-tiny.safetensors").write_bytes(written[1].read_bytes())
    assert available(bundled) == ["bundled", "none"]
    first, second = (row.to_dict() for row in model_rows(_manifest(entry), shelf))
    assert list(first) == list(second) == KEYS
    assert first["size_bytes"] == written[1].stat().st_size
    assert second["segmenter"] == "seg-tiny"
    assert second["metrics"] == classifier_row()["metrics"]


def test_the_public_list_takes_patterns_and_tasks() -> None:
    assert [row.name for row in list_models()] == [entry.name for entry in read_manifest()]
    assert list_models("nothing-like-this") == []
    with pytest.raises(UsageError):
        list_models(task="cooking")


@pytest.mark.slow
def test_verify_tells_and_repairs(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    manifest = _manifest(entry)

    def statuses(*, repair: bool = False) -> list[str]:
        rows = verify_weights(repair=repair, shelf=shelf, manifest=manifest)
        return [row.status for row in rows]

    assert statuses() == ["missing", "no_weights"]
    assert statuses(repair=True) == ["missing", "no_weights"]
    hub.files[key] = written[1].read_bytes()
    assert statuses(repair=True) == ["ok", "no_weights"]
    path = shelf.address("seg-tiny", entry.files[0])
    path.write_bytes(b"x" + path.read_bytes()[1:])
    asked = len(hub.log)
    assert statuses() == ["corrupt", "no_weights"]
    assert len(hub.log) == asked
    assert statuses(repair=True) == ["ok", "no_weights"]
    assert statuses() == ["ok", "no_weights"]
    row = verify_weights(["seg-tiny"], shelf=shelf, manifest=manifest)[0].to_dict()
    assert row["sha256"] == entry.files[0].sha256
    assert list(row) == ["name", "status", "path", "sha256", "detail"]


def test_verify_runs_the_golden_input(written: Written, shelf: Shelf) -> None:
    entry, _ = on_hub(written[0])
    cached(written, shelf)
    wrong = replace(entry, golden=Golden(0, (1.0,) * 20, 1e-3))
    row = verify_weights(shelf=shelf, manifest=Manifest((wrong,)))[0]
    assert row.status == "wrong_output"
    assert not row.ok


def test_downloads_go_where_they_should(written: Written, shelf: Shelf, tmp_path: Path) -> None:
    entry, _ = on_hub(written[0])
    manifest = _manifest(entry)
    cached(written, shelf)
    paths = download(dest=tmp_path / "usb", shelf=shelf, manifest=manifest)
    assert paths == [tmp_path / "usb" / "seg-tiny.safetensors"]
    assert file_sha256(paths[0]) == entry.files[0].sha256
    elsewhere = Shelf(tmp_path / "usb", tmp_path / "none", offline=True)
    assert verify_weights(["seg-tiny"], shelf=elsewhere, manifest=manifest)[0].ok
    with pytest.raises(WeightsError, match="no weights"):
        download(["cls-tiny"], shelf=shelf, manifest=manifest)
    with pytest.raises(UsageError):
        download(["cls-other"], shelf=shelf, manifest=manifest)
    with pytest.raises(UsageError):
        download("seg-tiny", shelf=shelf, manifest=manifest)


def test_a_card_says_its_limitations_first(written: Written, tmp_path: Path) -> None:
    row = classifier_row() | {"limitations": ["Trained on synthetic CT; not validated."]}
    text = card(ManifestEntry.from_dict(row))
    assert text.index("Trained on synthetic CT") < text.index("## Intended use")
    assert text.index("## Limitations") == text.index("## ")
    assert "0.4 to 0.6" in text
    assert "`run`" in text
    entry, _ = on_hub(written[0])
    paths = write_cards(tmp_path / "cards", _manifest(entry))
    assert [path.name for path in paths] == ["seg-tiny.md", "cls-tiny.md"]
    assert entry.files[0].sha256 in paths[0].read_text()


def test_a_card_shows_the_call_of_its_task() -> None:
    calls = {
        "vertebra-segmentation": 'cz.segment(cz.read_ct("study.zip"), "{}")',
        "fracture-classification": 'cz.predict(cz.read_ct("study.zip"), "{}")',
        "fracture-localization": 'localizer="{}")',
    }
    for entry in read_manifest():
        assert (calls[entry.task].format(entry.name) in card(entry)) == bool(entry.files)


def test_the_cards_in_the_documentation_are_the_rows() -> None:
    for entry in read_manifest():
        assert (CARDS / f"{entry.name}.md").read_text(encoding="utf-8") == card(entry)
    made = {path.stem for path in CARDS.glob("*.md")}
    assert made == {entry.name for entry in read_manifest()}
