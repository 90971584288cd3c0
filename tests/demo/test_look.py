"""What models say about places is drawn where it is, on its side, and nothing else is offered."""

import gc
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import cspine_zoo as cz
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.models.registry import build
from cspine_zoo.results import Comparison, Finding, RegionHeat, SensitivityMap
from cspine_zoo.zoo.checkpoint import write
from cspine_zoo.zoo.manifest import Architecture, OperatingPoint
from heat import RAMPS, Layer, Region, paint_layer
from marks import outline_px
from panels.look import picture_text
from plane import SIDE_PX, Plane, View
from tests.demo.conftest import Page
from tests.demo.neck import centre_mm, neck
from tests.inference.phantoms import (
    CROP_PREPROCESS,
    Block,
    classifier,
    ct_of,
    entry,
    grid,
    paint,
    painted_segmenter,
    spine,
)
from viewer import Look, Over, plane_jpeg

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
GRID = grid((2.0, 2.0, 2.0))
C4 = spine()[3]
MARK = Block(1, tuple(np.add(C4.centre_mm, (14.0, -10.0, 2.0))), (8.0, 8.0, 6.0))  # type: ignore[arg-type]
"""Right, behind and above the middle of C4."""
LOCALIZER: dict[str, Any] = {
    "in_channels": 4, "backbone": "test_efficientnet", "decoder": "unet", "widths": [8, 4],
}  # fmt: skip


def bright_localizer(path: Path) -> Path:
    """A real checkpoint with its row, whose kernels hand the brightness of a slice through."""
    network = build("crop-localizer", LOCALIZER)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.zeros_(module.weight)
    encoder: Any = network.get_submodule("network.encoder.backbone")
    decoder: Any = network.get_submodule("network.decoder")
    head: Any = network.get_submodule("network.head")
    # Brighter than bone: 1100 HU of the window's 1300. Channel 1 of a crop is the slice itself.
    taps = [(encoder.conv_stem, 1, 10.0), (encoder.blocks[0][0].conv, 0, 4.0)]
    taps += [(decoder.blocks[0].conv1[0], 24, 1.0), (decoder.blocks[0].conv2[0], 0, 1.0)]
    taps += [(decoder.blocks[1].conv1[0], 0, 1.0), (decoder.blocks[1].conv2[0], 0, 1.0)]
    with torch.no_grad():
        for convolution, channel, gain in (*taps, (head, 0, 2.0)):
            convolution.weight[0, channel, 1, 1] = gain
        encoder.bn1.bias[0] = -7.8
        head.bias.fill_(-8.0)
    row = entry(
        "loc-bright",
        replace(CROP_PREPROCESS, size_px=64, n_slices=8),
        task="fracture-localization",
        labels=("fracture",),
        architecture=Architecture("crop-localizer", LOCALIZER),
        operating_point=OperatingPoint(0.5, 0.5, "nothing"),
    )
    write(network, row, path)
    return path


@pytest.fixture(scope="module")
def marked() -> CTVolume:
    ct = ct_of(paint(spine(), GRID), GRID)
    ct.hu[paint([MARK], GRID) > 0] = 2000
    return ct


@pytest.fixture(scope="module")
def localized(marked: CTVolume, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A localizer from a file of its own, beside two untrained classifiers."""
    torch.manual_seed(0)
    return cz.compare(
        marked,
        [classifier("cls-gru"), classifier("cls-mean", sequence=None)],
        segmenter=painted_segmenter(marked, spine()),
        localizer=bright_localizer(tmp_path_factory.mktemp("loc") / "loc-bright.safetensors"),
        device="cpu",
        precision="float32",
    )


def heat_of(comparison: Comparison, opacity: float) -> Layer:
    regions = [Region(heat.probabilities, heat.geometry) for heat in comparison.heat]
    return Layer("heat", "fracture", regions, opacity)


def mark_view(plane: Plane) -> View:
    i, j, k = (int(n) for n in GRID.to_voxel(MARK.centre_mm).round())
    return View(plane, GRID, (i, j, k))


def painted(view: View, layer: Layer) -> NDArray[np.float32]:
    """How much each pixel of a black picture got."""
    picture = paint_layer(Image.new("RGB", (SIDE_PX, SIDE_PX)), view, layer)
    return np.asarray(picture, np.float32).sum(axis=2)


def middle_px(weight: NDArray[np.float32]) -> NDArray[np.float64]:
    row, column = np.indices(weight.shape) + 0.5
    return np.array([(column * weight).sum(), (row * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("plane", PLANES)
def test_heat_and_box_of_a_localizer_lie_on_the_mark(localized: Comparison, plane: Plane) -> None:
    view = mark_view(plane)
    mark_px = view.to_px(GRID.to_voxel(MARK.centre_mm))
    mm = SIDE_PX / (190 if plane != "axial" else 140)
    heat = painted(view, heat_of(localized, 1.0))
    assert middle_px(heat) == pytest.approx(mark_px, abs=2 * mm)
    (finding,) = localized.predictions[0].findings
    assert (finding.level, finding.model) == ("C4", "loc-bright")
    outline = outline_px(view, finding.box_mm)
    assert outline is not None
    assert outline.mean(axis=0) == pytest.approx(mark_px, abs=2 * mm)
    assert np.ptp(outline, axis=0) == pytest.approx(
        np.array([8.0, 8.0 if plane == "axial" else 6.0]) * mm, abs=3 * mm
    )
    # Radiological: what lies on the patient's right is on the left of the picture.
    middle = view.to_px(GRID.to_voxel(C4.centre_mm))[0]
    if plane != "sagittal":
        assert np.nonzero(heat > 60)[1].max() < middle
        assert outline[:, 0].max() < middle


def test_the_picture_shows_heat_and_box_and_nothing_without(
    marked: CTVolume, localized: Comparison
) -> None:
    view, look = mark_view("axial"), Look(opacity=0)
    over = Over((heat_of(localized, 0.8),), localized.predictions[0].findings)
    plain, drawn = (
        np.asarray(Image.open(io.BytesIO(plane_jpeg(marked, None, view, look, what)))).astype(int)
        for what in (Over(), over)
    )
    changed = np.abs(drawn - plain).max(axis=2) > 60
    mark_px = view.to_px(GRID.to_voxel(MARK.centre_mm))
    # The label stands above its box and runs to the right.
    assert np.median(np.argwhere(changed), axis=0)[::-1] == pytest.approx(mark_px, abs=30)
    faint = painted(view, heat_of(localized, 0.4)).max()
    assert 0 < faint < painted(view, heat_of(localized, 0.8)).max()
    assert painted(view, heat_of(localized, 0.0)).max() == 0


def test_a_turned_study_has_its_heat_and_box_turned_with_it() -> None:
    """The same world, cut along the axes of a grid that lies askew in it."""
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = (np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))
    askew = Geometry(GRID.shape, turn @ GRID.affine)
    values = np.zeros((6, 20, 20), np.float32)
    values[2:4, 3:7, 12:16] = 1.0
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = (20.0, -5.0, 100.0)
    region = Region(values, Geometry((20, 20, 6), affine))
    spot = region.geometry.to_world([13.5, 4.5, 2.5])
    box: Any = (tuple(spot - 2.0), tuple(spot + 2.0))
    i, j, k = (int(n) for n in askew.to_voxel(spot).round())
    view = View("axial", askew, (i, j, k))
    place = view.to_px(askew.to_voxel(spot))
    seen = middle_px(painted(view, Layer("heat", "fracture", [region], 1.0)))
    assert seen == pytest.approx(place, abs=3)
    outline = outline_px(view, box)
    assert outline is not None
    assert outline.mean(axis=0) == pytest.approx(place, abs=3)
    sides = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    scale = SIDE_PX / 140
    assert sides[sides > 1] == pytest.approx(4.0 * scale, rel=0.05)  # a square still, but turned
    assert np.ptp(outline, axis=0) == pytest.approx(
        4 * scale * (np.cos(angle) + np.sin(angle)), 0.05
    )


def test_a_thin_box_is_seen_on_the_nearer_slice_alone() -> None:
    low, high = GRID.to_world([30.0, 30.0, 40.3]), GRID.to_world([34.0, 34.0, 40.4])
    seen = [
        outline_px(View("axial", GRID, (32, 32, k)), (tuple(low), tuple(high))) is not None  # type: ignore[arg-type]
        for k in (39, 40, 41)
    ]
    assert seen == [False, True, False]


def test_words_say_plane_slice_levels_and_findings() -> None:
    ct, label_map = neck()
    i, j, k = (int(n) for n in ct.geometry.to_voxel(centre_mm("C4")).round())
    x, y, z = centre_mm("C4")
    finding = Finding("C4", 0.874, ((x - 5, y - 5, z - 3), (x + 5, y + 5, z + 3)), k, "loc")
    view = View("axial", ct.geometry, (i, j, k))
    over = Over((), (finding,))
    text = picture_text(view, label_map.labels, over)
    assert text == f"axial slice {k + 1} of 96 through C4; finding C4 0.87"
    assert picture_text(View("axial", ct.geometry, (i, j, k + 9)), None, over) == (
        f"axial slice {k + 10} of 96"
    )


def test_ramps_get_lighter_so_that_a_value_can_be_read_without_hue() -> None:
    for colours in RAMPS.values():
        shades = [
            int(c[1:3], 16) * 0.3 + int(c[3:5], 16) * 0.6 + int(c[5:], 16) * 0.1 for c in colours
        ]
        assert shades == sorted(shades)


@pytest.mark.slow
def test_without_a_localizer_the_page_offers_no_heat(page: Page) -> None:
    page.run().press("Run")
    assert not [slider for slider in page.app.slider if "heat" in slider.label.lower()]
    assert "Findings" not in page.words
    assert not page.app.get("radio")


@pytest.mark.slow
def test_heat_and_findings_where_a_localizer_ran(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = cz.compare
    x, y, z = centre_mm("C3")
    finding = Finding("C3", 0.91, ((x + 2, y - 5, z - 3), (x + 12, y + 5, z + 3)), 50, "loc-tiny")

    def with_findings(*args: Any, **kwargs: Any) -> Comparison:
        result = compare(*args, **kwargs)
        heat = (_map_of("C3", x + 7, y, z),)
        shown = [replace(p, localizer="loc-tiny", findings=(finding,)) for p in result.predictions]
        return replace(result, predictions=tuple(shown), heat=heat)

    monkeypatch.setattr(cz, "compare", with_findings)
    page.run().press("Run")
    assert page.app.slider(key="heat").value == 60
    page.press("C3 0.91")
    ct = page.visit.study.ct
    at = [page.app.slider(key=key).value for key in ("slice_i", "slice_j", "slice_k")]
    assert ct.geometry.to_world(at) == pytest.approx((x + 7, y, z), abs=1)
    page.app.slider(key="heat").set_value(10)
    page.app.toggle(key="boxes").set_value(False)
    page.run()


def _map_of(level: str, x: float, y: float, z: float) -> Any:
    values = np.zeros((4, 8, 8), np.float32)
    values[2, 4, 4] = 0.9
    affine = np.diag([-4.0, -4.0, 2.0, 1.0])
    affine[:3, 3] = (x + 16, y + 16, z - 4)
    return RegionHeat(level, values, Geometry((8, 8, 4), affine))


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stands in for the networks; notes what was asked for."""
    asked: list[tuple[str, str]] = []

    def grad_cam(
        ct: Any, result: Comparison, model: str, level: str, *, device: str
    ) -> SensitivityMap:
        asked.append((model, level))
        heat = _map_of(level, *centre_mm(level))
        return SensitivityMap(level, model, heat.probabilities / 0.9, heat.geometry, (4.0, 4.0))

    monkeypatch.setattr(cz, "grad_cam", grad_cam)
    return asked


def settle(page: Page) -> None:
    for _ in range(100):
        answers = page.app.session_state["answers"][page.visit.comparison]
        page.run()
        if answers.awaited is None:
            return
    raise AssertionError("the map never came")


@pytest.mark.slow
def test_a_map_is_made_when_asked_for_once_and_leads_to_its_peak(
    page: Page, mapped: list[tuple[str, str]]
) -> None:
    page.run().press("Run")
    assert mapped == []
    assert page.app.selectbox(key="vertebra_asked").value == "C5"
    page.press("Map it")
    settle(page)
    assert mapped == [("cls-bigru-attention-lite0", "C5")]
    assert "sensitive, not proof" in page.words
    page.press("Go to the peak")
    ct = page.visit.study.ct
    at = [page.app.slider(key=key).value for key in ("slice_i", "slice_j", "slice_k")]
    assert ct.geometry.to_world(at) == pytest.approx(centre_mm("C5"), abs=1)
    page.app.selectbox(key="vertebra_asked").set_value("C2")
    page.run()
    assert "sensitive, not proof" not in page.words
    page.app.selectbox(key="vertebra_asked").set_value("C5")
    page.run()
    assert "sensitive, not proof" in page.words
    assert len(mapped) == 1


@pytest.mark.slow
def test_delete_now_forgets_maps_and_pictures(page: Page, mapped: list[tuple[str, str]]) -> None:
    page.run().press("Run").press("Map it")
    settle(page)
    state = page.app.session_state
    assert len(state["answers"]) == 1
    page.visit.delete()
    page.run()
    gc.collect()
    assert len(state["answers"]) == 0


@pytest.mark.slow
def test_a_map_that_fails_is_told(
    page: Page, mapped: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise cz.WeightsError("weights_gone", "they are gone", hint="Download them again.")

    page.run().press("Run")
    monkeypatch.setattr(cz, "grad_cam", refuse)
    page.press("Map it")
    for _ in range(50):
        page.run()
        if "weights_gone" in page.words:
            break
    assert "What to do: Download them again." in page.words
