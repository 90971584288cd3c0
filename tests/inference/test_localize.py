"""Findings lie where the fracture is, on its side, whatever way the study lies in the scanner."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from cspine_zoo import Comparison, UsageError, compare, predict, read_ct
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError, ManifestError
from cspine_zoo.inference.classify import Crops
from cspine_zoo.inference.extent import level_extents
from cspine_zoo.inference.localize import Localization, localize, regions
from cspine_zoo.models.registry import build
from cspine_zoo.preprocess.crops import crop_in_box
from cspine_zoo.preprocess.spec import Window
from cspine_zoo.results import Finding, LabelMap, RegionHeat
from cspine_zoo.zoo.manifest import Architecture, OperatingPoint
from cspine_zoo.zoo.model import ZooModel
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

FINE = replace(CROP_PREPROCESS, size_px=64, n_slices=8)
C4 = spine()[3]
MARK = Block(1, tuple(np.add(C4.centre_mm, (14.0, -10.0, 2.0))), (8.0, 6.0, 6.0))  # type: ignore[arg-type]
"""Right, behind and above the middle of C4."""


class Bright(nn.Module):
    """Calls fractured what is brighter than bone: 1100 HU of the window's 1300."""

    def __init__(self, gain: float = 60.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        return self.gain * (slices[:, :, 1] - 0.78)


def localizer(network: nn.Module | None = None, **changes: object) -> ZooModel:
    row = entry("loc-bright", FINE, task="fracture-localization", labels=("fracture",), **changes)
    return ZooModel(network or Bright(), row, "random")


def marked(geometry: Geometry) -> CTVolume:
    ct = ct_of(paint(spine(), geometry), geometry)
    ct.hu[paint([MARK], geometry) > 0] = 2000
    return ct


def localized(ct: CTVolume, labels: np.ndarray, model: ZooModel | None = None) -> Localization:
    """With the true label map in place of a segmenter's."""
    label_map = LabelMap(labels, ct.geometry)
    levels = level_extents(label_map)
    crops = Crops(ct, label_map)
    return localize(model or localizer(), levels, crops, lambda share: None)


GRID = grid((2.0, 2.0, 2.0))
LABELS = paint(spine(), GRID)


@pytest.fixture(scope="module")
def straight() -> CTVolume:
    return marked(GRID)


@pytest.fixture(scope="module")
def comparison(straight: CTVolume) -> Comparison:
    """Two classifiers and the localizer, end to end."""
    models = [classifier("cls-gru"), classifier("cls-mean", sequence=None)]
    segmenter = painted_segmenter(straight, spine())
    return compare(
        straight, models, segmenter=segmenter, localizer=localizer(), precision="float32"
    )


def only(result: Comparison | Localization) -> Finding:
    found = result.findings if isinstance(result, Localization) else result.predictions[0].findings
    (finding,) = found
    return finding


def test_the_finding_is_the_mark(comparison: Comparison) -> None:
    finding = only(comparison)
    assert finding.level == "C4"
    assert finding.model == "loc-bright"
    assert 0.5 <= finding.score <= 1
    low, high = np.array(finding.box_mm)
    np.testing.assert_allclose((low + high) / 2, MARK.centre_mm, atol=1.5)
    np.testing.assert_allclose(high - low, MARK.size_mm, atol=3.0)
    hottest = GRID.to_world([0, 0, finding.slice_index])[2]
    assert low[2] <= hottest <= high[2]


def test_every_classifier_tells_the_same_findings(comparison: Comparison) -> None:
    first, second = comparison.predictions
    assert first.findings == second.findings
    assert first.localizer == second.localizer == "loc-bright"
    for one in comparison.predictions:
        parts = one.seconds.read + one.seconds.prepare + one.seconds.segment + one.seconds.classify
        assert one.seconds.total == pytest.approx(parts)
    told = json.loads(comparison.to_json())["predictions"][1]["findings"][0]
    assert set(told) == {"level", "score", "box_mm", "slice_index", "model"}
    assert told["box_mm"] == [list(corner) for corner in only(comparison).box_mm]


def test_heat_is_kept_of_every_level_and_holds_the_findings(comparison: Comparison) -> None:
    assert [heat.level for heat in comparison.heat] == [f"C{n}" for n in range(1, 8)]
    heat = comparison.heat[3]
    assert heat.probabilities.shape == (8, 64, 64)
    middle = np.mean(only(comparison).box_mm, axis=0)
    column, row, place = np.rint(heat.geometry.to_voxel(middle)).astype(int)
    assert heat.probabilities[place, row, column] > 0.9
    mirrored = heat.probabilities[place, row, 63 - column]
    assert mirrored < 0.1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turned_study_has_the_finding_where_it_was_turned_to(
    straight: CTVolume, comparison: Comparison, axis: int
) -> None:
    angle, (one, other) = np.deg2rad(20), [a for a in range(3) if a != axis]
    turn = np.eye(4)
    turn[[one, one, other, other], [one, other, one, other]] = (
        np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
    )  # fmt: skip
    geometry = Geometry(straight.geometry.shape, turn @ straight.geometry.affine)
    finding = only(localized(CTVolume(straight.hu, geometry), LABELS))
    low, high = np.array(finding.box_mm)
    np.testing.assert_allclose((low + high) / 2, turn[:3, :3] @ MARK.centre_mm, atol=2.0)
    assert np.all(high - low >= np.subtract(*reversed(only(comparison).box_mm)) - 1.0)
    assert finding.slice_index == only(comparison).slice_index


@pytest.mark.slow
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA"])
def test_a_file_in_any_orientation_has_the_finding_on_its_side(
    straight: CTVolume, codes: str, tmp_path: Path
) -> None:
    image = nibabel.Nifti1Image(straight.hu, GRID.affine)
    order = nibabel.orientations.axcodes2ornt(codes)
    start = nibabel.orientations.axcodes2ornt("RAS")
    path = tmp_path / "study.nii"
    nibabel.save(image.as_reoriented(nibabel.orientations.ornt_transform(start, order)), path)
    ct = read_ct(path)
    low, high = np.array(only(localized(ct, paint(spine(), ct.geometry))).box_mm)
    np.testing.assert_allclose((low + high) / 2, MARK.centre_mm, atol=1.5)


def test_a_row_may_ask_for_more_heat(straight: CTVolume) -> None:
    strict = localizer(Bright(2.0), operating_point=OperatingPoint(0.5, 0.9, "nothing"))
    assert localized(straight, LABELS, strict).findings == ()


def test_a_real_untrained_localizer_runs(straight: CTVolume) -> None:
    arguments = {
        "in_channels": 4, "backbone": "test_efficientnet", "decoder": "unet", "widths": [8, 4],
    }  # fmt: skip
    network = build("crop-localizer", arguments)
    model = localizer(network, architecture=Architecture("crop-localizer", arguments))
    heat = localized(straight, LABELS, model).heat
    assert all(0 <= h.probabilities.min() <= h.probabilities.max() <= 1 for h in heat)
    assert all(h.probabilities.mean() < 0.1 for h in heat)  # a fracture is rare before any lesson


def test_wrong_localizers_are_refused(straight: CTVolume) -> None:
    segmenter = painted_segmenter(straight, spine())
    gru = classifier("cls-gru")
    with pytest.raises(UsageError) as caught:
        predict(straight, gru, segmenter=segmenter, localizer=segmenter)
    assert caught.value.code == "wrong_task"
    with pytest.raises(ManifestError) as bad:
        localized(straight, LABELS, localizer(gru.network))
    assert bad.value.code == "bad_architecture"
    with pytest.raises(CSpineZooError) as lost:
        localized(straight, LABELS, localizer(Bright(float("nan"))))
    assert lost.value.code == "not_finite"


def heat_of(probabilities: np.ndarray) -> RegionHeat:
    shape = probabilities.shape[::-1]
    affine = np.diag([-0.5, -0.5, 2.0, 1.0])
    affine[:3, 3] = (10.0, 20.0, 30.0)
    return RegionHeat("C2", probabilities.astype(np.float32), Geometry(shape, affine))


def test_regions_are_pieces_large_enough_the_hottest_first() -> None:
    heat = np.zeros((6, 20, 20))
    heat[0:2, 0:6, 0:6] = 0.6
    heat[1, 2, 3] = 0.7
    heat[3:5, 10:16, 12:18] = 0.8
    heat[4, 16:19, 18:20] = 0.9  # touches at a corner
    heat[0, 19, 19] = 1.0  # half a cubic millimetre
    first, second = regions(heat_of(heat), np.array([7, 8, 10, 11, 13, 14]), "loc")
    assert [first.score, second.score] == pytest.approx([0.9, 0.7])
    assert [first.slice_index, second.slice_index] == [13, 8]
    assert second.box_mm == ((7.25, 17.25, 29.0), (10.25, 20.25, 33.0))
    assert regions(heat_of(heat), np.arange(6), "loc", 0.95) == []


def test_a_crop_knows_where_its_pixels_lie() -> None:
    """Of a study whose HU is a plane in space, every pixel holds the plane at its place."""
    affine = np.array([[0.8, 0.1, 0, -30], [-0.1, 0.7, 0.2, 5], [0.1, -0.1, 1.9, 40], [0, 0, 0, 1]])
    geometry = Geometry((80, 90, 30), affine)
    places = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    slope = np.array([3.0, -2.0, 5.0])
    hu = (geometry.to_world(places.astype(float)) @ slope).astype(np.float32)
    box = (slice(30, 50), slice(40, 52), slice(10, 20))
    mask = np.ones([part.stop - part.start for part in box], bool)
    flat = replace(
        FINE, channels=("slice",), crop_mm=(24.0, 24.0), size_px=12, n_slices=5,
        window=Window(0, 10_000),
    )  # fmt: skip
    crop = crop_in_box(hu, geometry, box, mask, flat)
    assert crop.geometry.shape == (12, 12, 5)
    for place, row, column in itertools.product(range(5), (0, 5, 11), (0, 6, 11)):
        expected = crop.geometry.to_world([column, row, place]) @ slope
        assert crop.images[place, 0, row, column] * 5000 == pytest.approx(expected, abs=0.5)
    np.testing.assert_allclose(
        crop.geometry.to_world([[5.5, 5.5, s] for s in range(5)])[:, 2],
        crop.positions_mm,
        atol=1e-3,
    )
