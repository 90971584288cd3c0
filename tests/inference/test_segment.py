"""From a volume to a label map on the study's own grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from cspine_zoo.anatomy import CLASSES, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import StudyRejected, UsageError
from cspine_zoo.inference.blocks import OVERLAP, block_shape, block_starts, volume_logits
from cspine_zoo.inference.body import body_box
from cspine_zoo.inference.decide import decide
from cspine_zoo.inference.segment import Segmentation, segment
from cspine_zoo.models.unet3d import UNet3D
from tests.inference.phantoms import ct_of, grid, paint, painted_segmenter, spine


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def segmented(geometry: Geometry) -> tuple[Segmentation, np.ndarray]:
    truth = paint(spine(), geometry)
    ct = ct_of(truth, geometry)
    return segment(ct, painted_segmenter(ct, spine())), truth


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.0, 1.0, 3.0), (3.0, 3.0, 1.5)])
def test_labels_come_back_on_the_studys_own_grid(spacing: tuple[float, float, float]) -> None:
    segmentation, truth = segmented(grid(spacing))
    labels = segmentation.label_map.labels
    assert labels.shape == truth.shape
    assert labels.dtype == np.uint8
    for label in range(1, 9):
        assert dice(labels == label, truth == label) > 0.88, label
    assert [level.found for level in segmentation.levels] == [True] * 7
    assert segmentation.notices == ()


def test_centroids_are_world_positions() -> None:
    segmentation, _ = segmented(grid())
    for block, level in zip(spine(), segmentation.levels, strict=False):
        assert level.centroid_mm == pytest.approx(block.centre_mm, abs=1.5)
        assert level.visible_fraction == 1


def test_an_oblique_study_gives_the_same_places() -> None:
    straight = grid()
    angle = np.deg2rad(12)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    truth = paint(spine(), straight)
    ct = ct_of(truth, straight)
    turned = CTVolume(ct.hu, Geometry(straight.shape, turn @ straight.affine))
    one = segment(ct, painted_segmenter(ct, spine()))
    # The network sees voxels; only the world around them has turned.
    model = painted_segmenter(ct, spine())
    other = segment(turned, model)
    np.testing.assert_array_equal(one.label_map.labels, other.label_map.labels)
    for level, moved in zip(one.levels, other.levels, strict=True):
        assert level.centroid_mm is not None
        expected = turn[:3, :3] @ np.array(level.centroid_mm)
        assert moved.centroid_mm == pytest.approx(tuple(expected), abs=1e-3)


def test_a_level_cut_by_the_edge_is_seen_in_part_and_a_missing_one_is_told() -> None:
    lowest = spine()[6].centre_mm[2]
    geometry = grid((2.0, 2.0, 2.0), low_mm=(-60.0, -70.0, lowest - 1.0))
    ct = ct_of(paint(spine(), geometry), geometry)
    segmentation = segment(ct, painted_segmenter(ct, spine()))
    seven = segmentation.levels[6]
    assert seven.found
    # Half of it, scaled by the usual ratio of C7 to C6 though the phantom's are alike.
    assert seven.visible_fraction == pytest.approx(0.5, abs=0.12)
    assert segmentation.levels[5].visible_fraction == 1

    without = [block for block in spine() if block.label != 3]
    ct = ct_of(paint(without, grid()), grid())
    segmentation = segment(ct, painted_segmenter(ct, without))
    assert [level.found for level in segmentation.levels].index(False) == 2
    assert [n.code for n in segmentation.notices] == ["level_not_found"]
    assert segmentation.levels[2].visible_fraction == 0
    assert segmentation.levels[2].centroid_mm is None


def test_air_and_a_body_without_a_spine_are_refused() -> None:
    geometry = grid()
    air = CTVolume(np.full(geometry.shape, -1000, np.float32), geometry)
    body = ct_of(np.zeros(geometry.shape, np.uint8), geometry)
    for ct in (air, body):
        with pytest.raises(StudyRejected) as caught:
            segment(ct, painted_segmenter(body, spine()))
        assert caught.value.code == "no_cervical_spine"


def test_wrong_requests_are_refused() -> None:
    geometry = grid()
    ct = ct_of(paint(spine(), geometry), geometry)
    model = painted_segmenter(ct, spine())
    with pytest.raises(UsageError) as caught:
        segment(ct, model, precision="float16")
    assert caught.value.code == "unknown_precision"
    with pytest.raises(UsageError) as caught:
        segment("study.zip", model)  # type: ignore[arg-type]
    assert caught.value.code == "not_a_volume"
    with pytest.raises(UsageError) as caught:
        segment(ct, "seg-there-is-none")
    assert caught.value.code == "unknown_model"


def test_the_body_box_leaves_out_air_and_noise() -> None:
    geometry = Geometry((100, 100, 40), np.eye(4))
    hu = np.full(geometry.shape, -1000, np.float32)
    hu[30:70, 20:60, 10:40] = 40
    hu[2, 2, 2] = 3000
    box = body_box(CTVolume(hu, geometry))
    assert box is not None
    for part, (low, high) in zip(box, [(30, 70), (20, 60), (10, 40)], strict=True):
        assert low - 10 <= part.start <= low
        assert high <= part.stop <= high + 10


class Local(nn.Module):
    """Answers from single voxels: blocks must agree with the whole, blended or not."""

    divisors = (16, 8, 1)

    def __init__(self, largest_block: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.largest_block = largest_block
        self.head = nn.Conv3d(1, 10, 1)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        assert all(n % d == 0 for n, d in zip(volume.shape[2:], self.divisors, strict=True))
        return self.head(volume)


CPU = torch.device("cpu")


def test_blocks_blend_into_the_whole() -> None:
    volume = np.random.default_rng(0).uniform(-1, 1, (40, 50, 150)).astype(np.float32)
    told: list[float] = []
    whole = volume_logits(Local(10**9), volume, CPU, "float32", lambda share: None)
    parts = volume_logits(Local(200_000), volume, CPU, "float32", told.append)
    assert whole.shape == (10, *volume.shape)
    assert len(told) > 1
    assert told[-1] == 1
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


class SmallBlocks(UNet3D):
    largest_block = 120_000


def test_a_real_network_in_blocks_stays_close_to_the_whole() -> None:
    volume = np.random.default_rng(0).uniform(-1, 1, (32, 32, 160)).astype(np.float32)
    bone = []
    for kind in (UNet3D, SmallBlocks):
        torch.manual_seed(0)
        network = kind(1, 10, [4, 4, 4]).eval()
        logits = volume_logits(network, volume, CPU, "float32", lambda share: None)
        bone.append(decide(logits, CLASSES).bone)
    assert np.abs(bone[0] - bone[1]).max() < 0.02


@pytest.mark.parametrize("shape", [(96, 112, 160), (304, 160, 208), (16, 16, 800), (160, 160, 160)])
@pytest.mark.parametrize("divisors", [(16, 16, 16), (16, 16, 1)], ids=str)
def test_blocks_cover_everything_and_are_small_enough(
    shape: tuple[int, int, int], divisors: tuple[int, int, int]
) -> None:
    limit = 600_000
    block = block_shape(shape, limit, divisors)
    assert np.prod(block) <= limit
    for whole, size, divisor in zip(shape, block, divisors, strict=True):
        starts = block_starts(whole, size, divisor)
        assert starts[0] == 0
        assert starts[-1] + size == whole
        assert all(b - a <= size - OVERLAP for a, b in itertools.pairwise(starts))
        assert all(start % divisor == 0 for start in starts)


def test_levels_are_those_of_the_house() -> None:
    segmentation, _ = segmented(grid((3.0, 3.0, 3.0)))
    assert tuple(level.level for level in segmentation.levels) == LEVELS
