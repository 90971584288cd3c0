"""Augmentation and mixing of crops."""

import torch
from torch import Tensor

from cspine_zoo.training.augment import augmented
from cspine_zoo.training.mixup import blended, mixed, shuffled


def _images(count: int, seed: int = 1) -> Tensor:
    """A disc in the mask, and the same disc bright on dark in the images."""
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randint(18, 30, (count, 2), generator=generator)
    masks = torch.stack([((rows - r) ** 2 + (columns - c) ** 2 < 80).float() for r, c in centres])
    return torch.stack([2 * masks - 1] * 3 + [masks], dim=1)


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


def test_mixup_blends_images_and_truth_alike() -> None:
    images = torch.tensor([[0.0], [10.0], [20.0]])
    truth = torch.tensor([0.0, 1.0, 1.0])
    others = torch.tensor([2, 0, 1])
    image, label = blended((images, truth), others, 0.75)
    assert image[:, 0].tolist() == [5.0, 7.5, 17.5]
    assert label.tolist() == [0.25, 0.75, 1.0]


def test_the_share_of_mixup_is_drawn_once_a_batch_and_repeats_itself() -> None:
    columns = (torch.eye(6), torch.eye(6).argmax(1).float())
    one, again, other = (
        mixed(columns, 0.4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(one[0] @ torch.arange(6.0), one[1])
    own = one[0].diagonal()
    assert float((own[own < 1] - own.min()).abs().max()) < 1e-6


def test_shuffling_moves_a_slice_with_its_truth() -> None:
    features = torch.arange(60.0).reshape(12, 5, 1)
    truth = features[..., 0] % 5
    moved, told = shuffled((features, truth), 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(moved[..., 0] % 5, told)
    assert torch.equal(moved.sort(1).values, features)
    still = int((moved == features).all(1).sum())
    assert 3 <= still <= 9
    assert torch.equal(shuffled((features,), 0.0, torch.Generator())[0], features)
