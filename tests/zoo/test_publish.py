"""What is published can be fetched by the manifest that publishing leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cspine_zoo.cli.main import main
from cspine_zoo.errors import DownloadError, UsageError, WeightsError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.card import card, hub_card
from cspine_zoo.zoo.fetch import fetch_weights
from cspine_zoo.zoo.files import BundledSource, HuggingFaceSource
from cspine_zoo.zoo.manifest import Manifest, ManifestEntry, read_manifest, write_manifest
from cspine_zoo.zoo.publish import publish
from tests.zoo.conftest import classifier_row, no_settings, sourced
from tests.zoo.publishing_hub import TOKEN, PublishingHub
from tests.zoo.servers import serve

ROOT = Path(__file__).parents[2]
BUNDLED = BundledSource("bundled", "seg-tiny.safetensors")


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PublishingHub]:
    no_settings(monkeypatch, tmp_path)
    with serve(PublishingHub()) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield site


@pytest.fixture
def manifest(written: tuple[ManifestEntry, Path], shelf: Shelf, tmp_path: Path) -> Path:
    """A manifest with one bundled model and one without weights."""
    entry, path = written
    shelf.bundled.mkdir()
    shutil.copy(path, shelf.bundled)
    rows = (sourced(entry, BUNDLED), ManifestEntry.from_dict(classifier_row()))
    write_manifest(Manifest(rows), tmp_path / "manifest.json")
    return tmp_path / "manifest.json"


def test_the_card_for_the_hub_says_in_metadata_what_the_row_says() -> None:
    entry = ManifestEntry.from_dict(classifier_row())
    _, head, body = hub_card(entry).split("---\n", 2)
    data: dict[str, Any] = yaml.safe_load(head)
    assert data["license"] == "mit"
    assert data["library_name"] == "cspine_zoo"
    assert data["pipeline_tag"] == "image-classification"
    (result,) = data["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "auc", "value": 0.5}]
    assert body.strip() == card(entry).strip()
    odd = replace(entry, licence=replace(entry.licence, weights="ask the author"))
    assert yaml.safe_load(hub_card(odd).split("---\n")[1])["license"] == "other"


@pytest.mark.parametrize(
    ("name", "repo_id", "error", "code"),
    [
        ("seg-tiny", "no-owner", UsageError, "wrong_repository"),
        ("seg-other", "owner/zoo", UsageError, "unknown_model"),
        ("cls-tiny", "owner/zoo", WeightsError, "no_weights"),
        ("seg-tiny", "owner/zoo", DownloadError, "offline"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_sent(
    manifest: Path, shelf: Shelf, name: str, repo_id: str, error: type[Exception], code: str
) -> None:
    offline = replace(shelf, offline=True)
    with pytest.raises(error) as caught:
        publish(name, repo_id, manifest=manifest, shelf=offline)
    assert caught.value.code == code  # type: ignore[attr-defined]


@pytest.mark.slow
def test_published_weights_come_back_by_their_row(
    manifest: Path, shelf: Shelf, takes: PublishingHub, tmp_path: Path
) -> None:
    row = publish("seg-tiny", "owner/zoo", manifest=manifest, shelf=shelf)
    assert read_manifest(manifest)["seg-tiny"] == row
    bundled, source = row.files[0].sources
    assert bundled == BUNDLED
    assert isinstance(source, HuggingFaceSource)
    readme = takes.files[f"owner/zoo/resolve/{source.revision}/README.md"].decode()
    assert "Limitations" in readme
    inside = takes.files[f"owner/zoo/resolve/{source.revision}/manifest_row.json"]
    assert json.loads(inside)["files"][0]["sha256"] == row.files[0].sha256
    elsewhere = Shelf(tmp_path / "new", tmp_path / "none", offline=False)
    assert fetch_weights(row, elsewhere).read_bytes() == next(iter(takes.stored.values()))

    again = publish("seg-tiny", "owner/zoo", manifest=manifest, shelf=shelf)
    assert len(again.files[0].sources) == 2  # the newest commit takes the place of the last
    assert takes.repositories == ["owner/zoo"]


@pytest.mark.slow
def test_without_the_right_token_nothing_changes_and_no_token_is_told(
    manifest: Path, shelf: Shelf, takes: PublishingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = manifest.read_text()
    monkeypatch.setenv("HF_TOKEN", "hf_wrongsecret")
    with pytest.raises(WeightsError, match="401") as caught:
        publish("seg-tiny", "owner/zoo", manifest=manifest, shelf=shelf)
    assert caught.value.code == "unauthorized"
    assert "wrongsecret" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    takes.damage = True
    with pytest.raises(DownloadError, match="wrong content"):
        publish("seg-tiny", "owner/zoo", manifest=manifest, shelf=shelf)
    assert manifest.read_text() == before


@pytest.mark.slow
def test_make_publishes_all_that_is_bundled(takes: PublishingHub, tmp_path: Path) -> None:
    manifest = Path(shutil.copy(ROOT / "weights_manifest.json", tmp_path))
    bundled = [row for row in read_manifest() if any(file.sources for file in row.files)]
    made = f"{sys.prefix}/.installed"
    settings = (f"VENV={sys.prefix}", f"MANIFEST={manifest}", f"CARDS={tmp_path}/cards")
    subprocess.run(
        ["make", "-o", made, "release-weights", "OWNER=owner", *settings],
        cwd=ROOT,
        env=dict(os.environ),
        check=True,
    )
    assert takes.repositories == [f"owner/{row.name}" for row in bundled]
    for row in read_manifest(manifest):
        pinned = [source.kind for file in row.files for source in file.sources]
        assert pinned == ["bundled", "huggingface"] * len(row.files)
        assert (tmp_path / "cards" / f"{row.name}.md").read_text() == card(row)


def test_the_command_refuses_as_the_function_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSPINE_ZOO_OFFLINE", "1")
    assert main(["publish", "cls-cnn-lite0"]) == 2
    assert main(["publish", "cls-cnn-lite0", "--repo-id", "owner/zoo", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "offline"
