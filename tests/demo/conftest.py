import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import cspine_zoo as cz
from cspine_zoo.resources import demo_dir
from cspine_zoo.results import Comparison
from cspine_zoo.zoo.catalog import ModelRow
from cspine_zoo.zoo.manifest import Licence, Metric
from jobs import Here
from tests.demo.neck import comparison, disagreeing, neck

VARIANTS = ("cls-cnn-lite0", "cls-bigru-lite0", "cls-bigru-attention-lite0")
TRUTH = {level: int(level == "C5") for level in cz.LEVELS} | {cz.PATIENT_OVERALL: 1}


def row(name: str, available: Any = "bundled") -> ModelRow:
    task: Any = "vertebra-segmentation" if name.startswith("seg") else "fracture-classification"
    metric = Metric("held-out synthetic", "auc", 0.9, (0.8, 1.0), "cspine-zoo evaluate")
    return ModelRow(
        name=name,
        task=task,
        parameters=3_400_000,
        size_bytes=6_800_000,
        available=available,
        licence=Licence("MIT", "MIT", "synthetic"),
        metrics=() if name.startswith("seg") else (metric,),
        segmenter=None if name.startswith("seg") else "seg-unet3d-small",
        files=(),
    )


@pytest.fixture
def nifti(tmp_path: Path) -> bytes:
    """The small neck as a file that the real reader takes."""
    ct, _ = neck()
    path = tmp_path / "neck.nii.gz"
    nib.save(nib.Nifti1Image(ct.hu.astype("int16"), ct.geometry.affine), path)
    return path.read_bytes()


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> list[ModelRow]:
    """Rows that the page finds in the zoo; tests change the list."""
    rows = [row("seg-unet3d-small"), *(row(name) for name in VARIANTS)]

    def list_models(pattern: str = "*", *, task: str | None = None) -> list[ModelRow]:
        return [r for r in rows if task in (None, r.task)]

    monkeypatch.setattr(cz, "list_models", list_models)
    return rows


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Stands in for the networks, which take half a minute; notes what was asked for."""
    asked: list[tuple[str, ...]] = []

    def compare(
        ct: Any,
        models: Sequence[str],
        *,
        localizer: str | None,
        device: str,
        progress: Callable[[str, float], None],
    ) -> Comparison:
        asked.append(tuple(models))
        for stage in ("prepare", "segment", "classify"):
            progress(stage, 1.0)
        _, label_map = neck()
        chosen = [p for p in disagreeing() if p.model in models]
        return comparison(chosen, label_map)

    monkeypatch.setattr(cz, "compare", compare)
    return asked


@pytest.fixture
def samples(tmp_path: Path, nifti: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one sample study, and the page looking there."""
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "neck.nii.gz").write_bytes(nifti)
    card = {
        "title": "Small neck, C5 fractured",
        "description": "Seven ellipsoids.",
        "file": "neck.nii.gz",
        "truth": TRUTH,
        "command": "pytest",
    }
    (folder / "neck.json").write_text(json.dumps(card), encoding="utf-8")
    monkeypatch.setattr("cspine_zoo.samples.samples_dir", lambda: folder)
    return folder


class Page:
    """The app, driven without a browser."""

    def __init__(self) -> None:
        self.app = AppTest.from_file(str(demo_dir() / "app.py"), default_timeout=120)

    def run(self) -> "Page":
        """Once through the script, and again until nothing is being worked on."""
        self.app.run()
        end = time.monotonic() + 90
        while self._busy() and time.monotonic() < end:
            time.sleep(0.02)
            self.app.run()
        assert not self.app.exception
        return self

    def _busy(self) -> bool:
        if "visit" not in self.app.session_state:
            return False
        return bool(self.visit.busy)

    @property
    def visit(self) -> Any:
        return self.app.session_state["visit"]

    def press(self, label: str) -> "Page":
        next(button for button in self.app.button if label in button.label).click()
        return self.run()

    @property
    def words(self) -> str:
        """Everything that is written on the page."""
        kinds = ("markdown", "caption", "text", "subheader", "title", "info", "html")
        found = (element for kind in kinds for element in self.app.get(kind))
        return "\n".join(str(getattr(e, "value", "") or getattr(e, "body", "")) for e in found)


@pytest.fixture
def page(
    zoo: list[ModelRow],
    samples: Path,
    runs: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Page]:
    """The page with its work in this process; the real workers are those of test_serving.py."""
    monkeypatch.setattr("state.WorkerProcess", Here)
    monkeypatch.setattr("work.graphics_cards", lambda report: [])
    st.cache_resource.clear()
    yield Page()
    st.cache_resource.clear()
