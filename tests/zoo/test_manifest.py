"""A manifest row is exactly what the schema says, or an error that names row and key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cspine_zoo.errors import ManifestError, UsageError
from cspine_zoo.zoo.manifest import Manifest, ManifestEntry, read_manifest
from tests.zoo.conftest import COMMIT, classifier_row, segmenter_row

FILE = {
    "filename": "a.safetensors",
    "sha256": "0" * 64,
    "size_bytes": 8,
    "sources": [
        {"kind": "bundled", "filename": "a.safetensors"},
        {"kind": "huggingface", "repo_id": "o/n", "revision": COMMIT, "filename": "a.safetensors"},
        {"kind": "gdrive", "file_id": "1AbCdEfGhIjKl", "untried": True},
        {"kind": "gdrive", "folder_id": "1AbCdEfGhIjKl", "filename": "fold0/a.pth"},
        {"kind": "url", "url": "https://example.org/a.safetensors"},
    ],
}


def _full_row() -> dict[str, Any]:
    golden = {"input_seed": 0, "output": [0.5, 1.5], "tolerance": 0.001}
    return classifier_row() | {"files": [copy.deepcopy(FILE)], "golden": golden}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all objects inside a row that the schema describes."""
    found = []
    if isinstance(value, dict) and path != ("architecture", "arguments"):
        found.append(path)
        for key, item in value.items():
            found += _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _places(item, (*path, index))
    return found


def _at(row: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        row = row[step]
    return row


def test_a_row_survives_the_round_trip() -> None:
    row = _full_row()
    entry = ManifestEntry.from_dict(row)
    assert entry.to_dict() == json.loads(json.dumps(row))
    assert ManifestEntry.from_dict(entry.to_dict()) == entry


@pytest.mark.parametrize("path", _places(_full_row()), ids=str)
def test_an_unknown_key_is_named_wherever_it_stands(path: tuple[Any, ...]) -> None:
    row = _full_row()
    _at(row, path)["typo"] = 1
    with pytest.raises(ManifestError, match="'typo'") as caught:
        ManifestEntry.from_dict(row)
    assert caught.value.code == "unknown_key"
    assert "cls-tiny" in caught.value.reason


@pytest.mark.parametrize("path", _places(_full_row()), ids=str)
def test_every_missing_key_is_named(path: tuple[Any, ...]) -> None:
    for key in _at(_full_row(), path):
        if key == "untried":
            continue
        row = _full_row()
        del _at(row, path)[key]
        drive = key != "kind" and _at(_full_row(), path).get("kind") == "gdrive"
        with pytest.raises(ManifestError, match=f"(_id|{key})" if drive else f"'{key}'") as caught:
            ManifestEntry.from_dict(row)
        assert caught.value.code == ("wrong_value" if drive else "missing_key")


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (("parameters",), "many", "parameters"),
        (("parameters",), True, "parameters"),
        (("parameters",), 0, "parameters"),
        (("name",), "Two Words", "name"),
        (("task",), "cooking", "task"),
        (("preprocess", "window", "width"), 0, "window"),
        (("preprocess", "spacing_mm"), [1, 1], "spacing_mm"),
        (("preprocess", "orientation"), "RASP", "orientation"),
        (("preprocess", "channels"), [], "channels"),
        (("preprocess",), None, "preprocess"),
        (("labels",), "C1", "labels"),
        (("labels", 0), 1, r"labels\[0\]"),
        (("calibration", "temperature"), -1, "temperature"),
        (("operating_point", "patient"), 2, "thresholds"),
        (("operating_point",), None, "operating_point"),
        (("segmenter",), None, "segmenter"),
        (("limitations",), [], "limitations"),
        (("metrics", 0, "command"), " ", "command"),
        (("files", 0, "sha256"), "abc", "sha256"),
        (("files", 0, "filename"), "../a", "filename"),
        (("files", 0, "size_bytes"), -1, "size_bytes"),
        (("files", 0, "sources", 1, "revision"), "main", "revision"),
        (("files", 0, "sources", 1, "filename"), "../../a", "filename"),
        (("files", 0, "sources", 2, "file_id"), "a/b", "file_id"),
        (("files", 0, "sources", 2, "folder_id"), "1AbCdEfGhIjKl", "either file_id"),
        (("files", 0, "sources", 3, "filename"), "../a.pth", "filename"),
        (("files", 0, "sources", 4, "url"), "file:///etc/passwd", "url"),
        (("files", 0, "sources", 0, "kind"), "ftp", "kind"),
        (("files", 0, "sources", 0), "bundled", "kind"),
    ],
)
def test_a_wrong_value_is_named(path: tuple[Any, ...], value: Any, key: str) -> None:
    row = _full_row()
    _at(row, path[:-1])[path[-1]] = value
    with pytest.raises(ManifestError, match=key) as caught:
        ManifestEntry.from_dict(row)
    assert "row" in caught.value.reason


@pytest.mark.parametrize(
    "text",
    ["{", '[{"name": "a", "name": "b"}]', '[{"parameters": NaN}]', '{"name": "a"}', "[1]", "[[]]"],
)
def test_what_is_not_a_list_of_rows_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(ManifestError):
        read_manifest(path)
    with pytest.raises(ManifestError):
        read_manifest(tmp_path / "absent.json")


def test_rows_must_fit_together() -> None:
    segmenter = ManifestEntry.from_dict(segmenter_row())
    classifier = ManifestEntry.from_dict(classifier_row())
    with pytest.raises(ManifestError, match="share the name"):
        Manifest((segmenter, segmenter))
    with pytest.raises(ManifestError, match="no segmenter 'seg-tiny'"):
        Manifest((classifier,))
    with pytest.raises(ManifestError, match="segmenter"):
        ManifestEntry.from_dict(segmenter_row() | {"segmenter": "seg-tiny"})


def test_names_are_found_by_pattern_and_close_ones_are_named() -> None:
    rows = (segmenter_row(), classifier_row())
    manifest = Manifest(tuple(map(ManifestEntry.from_dict, rows)))
    assert [row.name for row in manifest.match("cls-*")] == ["cls-tiny"]
    assert [row.name for row in manifest.match(task="vertebra-segmentation")] == ["seg-tiny"]
    assert len(manifest.match()) == len(manifest) == 2
    with pytest.raises(UsageError, match="cls-tiny") as caught:
        manifest["cls-tin"]
    assert caught.value.code == "unknown_model"
    with pytest.raises(UsageError, match="fracture-localization"):
        manifest.match(task="cooking")


def test_the_packages_own_manifest_is_valid() -> None:
    for entry in read_manifest():
        assert ManifestEntry.from_dict(entry.to_dict()) == entry
