"""Crops of synthetic vertebrae and their twins."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.families import ALL
from cspine_zoo.training import synthetic_crops
from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.records import MAP_PX, VertebraRecord, dequantised
from cspine_zoo.training.rough_masks import coarse_mask
from cspine_zoo.training.synthetic_crops import draw_vertebrae, slices_with_fracture

SMALL = replace(LIGHT[0].preprocess, size_px=24, n_slices=5)
Twins = list[tuple[VertebraRecord, VertebraRecord]]


@pytest.fixture(scope="module")
def coarse_scans() -> Iterator[pytest.MonkeyPatch]:
    """Scans on 3.5 mm voxels, for time."""
    field_of_view = synthetic_crops._field_of_view

    def coarse(rng: np.random.Generator, scene: synthetic_crops.Scene) -> Geometry:
        return field_of_view(rng, scene).with_spacing((3.5, 3.5, 3.5))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_crops, "_field_of_view", coarse)
        yield patch


@pytest.fixture(scope="module")
def twins(coarse_scans: pytest.MonkeyPatch) -> Twins:
    records = draw_vertebrae(3, SMALL, ())
    return list(zip(records[0::2], records[1::2], strict=True))


def _intensity(record: VertebraRecord) -> np.ndarray:
    return dequantised(torch.from_numpy(record.images), SMALL.channels)[:, 1].numpy()


def test_every_level_is_seen_in_both_states(twins: Twins) -> None:
    assert len(twins) >= 5
    assert [broken.level for broken, _ in twins] == [
        level for level in LEVELS if level in {broken.level for broken, _ in twins}
    ]
    for broken, whole in twins:
        assert (broken.label, whole.label) == (1, 0)
        assert broken.level == whole.level
        assert (broken.twin, whole.twin) == (whole.study, broken.study)
        assert broken.images.shape == whole.images.shape == (5, 4, 24, 24)
        assert broken.fracture_map.shape == (5, MAP_PX, MAP_PX)
        assert broken.slice_known.all()
        assert whole.slice_known.all()
        assert broken.slice_truth.any()
        assert not whole.slice_truth.any()
        assert broken.images[:, 3].max() > 127


def test_the_map_lies_where_the_two_differ_most(twins: Twins) -> None:
    """Broken minus whole, pooled to the map's cells, is larger on the map than off it."""
    for broken, whole in twins:
        difference = torch.from_numpy(np.abs(_intensity(broken) - _intensity(whole)))
        change = torch.nn.functional.adaptive_avg_pool2d(difference, MAP_PX).numpy()
        on = broken.fracture_map > 25
        if on.sum() >= 5:
            assert change[on].mean() > 2 * change[~on].mean()


def test_broken_and_whole_are_one_patient_under_one_noise(twins: Twins) -> None:
    """One frame, one noise: what is left is the fracture."""
    alike, same = [], []
    for pair in twins:
        broken, whole = (_intensity(record).astype(np.float64) for record in pair)
        alike.append(float(np.corrcoef(broken.ravel(), whole.ravel())[0, 1]))
        same.append(float((np.abs(broken - whole) < 0.01).mean()))
        assert not np.array_equal(broken, whole)
    assert np.median(alike) > 0.95
    assert min(alike) > 0.8
    assert max(same) > 0.6


def test_a_slice_shows_a_fracture_from_6_mm2_on() -> None:
    """A cell of the map covers 9 mm2."""
    shares = np.zeros((3, MAP_PX, MAP_PX), np.float32)
    shares[1, 4, 4] = 0.6
    shares[2, 4, 4] = 0.7
    assert slices_with_fracture(shares, (96.0, 96.0)).tolist() == [False, False, True]


@pytest.mark.slow
def test_every_family_of_the_engine_makes_crops(coarse_scans: pytest.MonkeyPatch) -> None:
    first, everything = (draw_vertebrae(3, SMALL, (), families) for families in (frozenset(), ALL))
    assert everything
    assert all(record.images.shape == first[0].images.shape for record in everything)


def test_a_coarse_mask_is_near_the_true_one() -> None:
    index = np.indices((40, 40, 40)).astype(float)
    truth = torch.from_numpy(((index - 20) ** 2).sum(0) < 12**2)
    geometry = Geometry((40, 40, 40), np.diag([0.8, 0.8, 1.0, 1.0]))
    mask = coarse_mask(truth, geometry, np.random.default_rng(1))
    overlap = 2 * (mask & truth.numpy()).sum() / (mask.sum() + int(truth.sum()))
    assert 0.85 < overlap < 0.999
