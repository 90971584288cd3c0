"""A tiny checkpoint with its row, and empty shelves to fetch it onto."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trustme
from torch import nn

from cspine_zoo.models.registry import build
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import HuggingFaceSource, Source
from cspine_zoo.zoo.manifest import ManifestEntry
from tests.zoo.servers import Drive, Hub, proxy, serve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def segmenter_row() -> dict[str, Any]:
    return {
        "name": "seg-tiny",
        "task": "vertebra-segmentation",
        "architecture": {
            "name": "unet3d",
            "arguments": {"in_channels": 1, "out_channels": 10, "widths": [4, 8]},
        },
        "parameters": 1,
        "preprocess": {
            "orientation": "RAS",
            "spacing_mm": [2.5, 2.5, 2.5],
            "window": {"level": 400, "width": 1800},
            "crop_mm": None,
            "size_px": None,
            "n_slices": None,
            "neighbour_mm": None,
            "channels": ["volume"],
        },
        "labels": ["background", "C1"],
        "segmenter": None,
        "calibration": None,
        "operating_point": None,
        "files": [],
        "licence": {"code": "MIT", "weights": "MIT", "data": "synthetic"},
        "training_data": "None: random numbers.",
        "metrics": [],
        "golden": None,
        "intended_use": "Tests.",
        "limitations": ["Trained on nothing."],
        "citation": "None.",
    }


def classifier_row() -> dict[str, Any]:
    return segmenter_row() | {
        "name": "cls-tiny",
        "task": "fracture-classification",
        "segmenter": "seg-tiny",
        "calibration": {"method": "none", "temperature": 1, "fitted_on": "nothing"},
        "operating_point": {"patient": 0.5, "vertebra": 0.4, "chosen_on": "nothing"},
        "metrics": [
            {"dataset": "d", "name": "auc", "value": 0.5, "ci95": [0.4, 0.6], "command": "run"}
        ],
    }


def tiny_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("unet3d", segmenter_row()["architecture"]["arguments"])


@pytest.fixture
def written(tmp_path: Path) -> tuple[ManifestEntry, Path]:
    """A checkpoint on disk and its row."""
    path = tmp_path / "made" / "seg-tiny.safetensors"
    return checkpoint.write(tiny_network(), ManifestEntry.from_dict(segmenter_row()), path), path


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cache", tmp_path / "bundled", offline=False)


def sourced(entry: ManifestEntry, *sources: Source) -> ManifestEntry:
    """The row with other sources for its file."""
    return entry.with_files(replace(entry.files[0], sources=sources))


def cached(written: tuple[ManifestEntry, Path], shelf: Shelf) -> Path:
    """The checkpoint put where an earlier download would have left it."""
    entry, path = written
    target = shelf.address(entry.name, entry.files[0])
    target.parent.mkdir(parents=True)
    return Path(shutil.copy(path, target))


def on_hub(entry: ManifestEntry) -> tuple[ManifestEntry, str]:
    """The row with the hub as its source, and the key of its file there."""
    source = HuggingFaceSource("huggingface", "owner/zoo", COMMIT, "seg-tiny.safetensors")
    return sourced(entry, source), f"owner/zoo/resolve/{COMMIT}/seg-tiny.safetensors"


COMMITTED = f"owner/zoo/resolve/{COMMIT}/"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    no_settings(monkeypatch, tmp_path)
    with serve(Hub()) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        yield site


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Drive]:
    no_settings(monkeypatch, tmp_path)
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with proxy(Drive(), authority) as site:
        monkeypatch.setenv("HTTPS_PROXY", site.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        yield site


def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in list(os.environ):
        if name.startswith("CSPINE_ZOO_") or name in (
            "HF_HUB_OFFLINE",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))  # no token and no cache of the user's
