"""From a preset to a checkpoint that loads by its path; the loss that drives it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.errors import UsageError
from cspine_zoo.models.registry import build
from cspine_zoo.synthetic.patches import PatchPreset, draw_patch
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.loop import Batch, Run, Schedule
from cspine_zoo.training.presets import preset_named
from cspine_zoo.training.rows import NOT_VALIDATED
from cspine_zoo.training.segmentation import (
    UNKNOWN,
    PatchBatches,
    SyntheticPatches,
    independent_loss,
    segmentation_loss,
)
from cspine_zoo.training.segmenter_presets import SEGMENTER
from cspine_zoo.training.train import Job, train
from cspine_zoo.zoo.load import load_model

TINY = replace(
    SEGMENTER,
    arguments=SEGMENTER.arguments | {"widths": [4, 6]},
    patches=PatchPreset(shapes=((12, 16, 16), (16, 12, 16)), spacing_mm=6.0),
    steps=2,
)


CPU = Devices(1, "cpu", "float32")
BATCHES = PatchBatches(TINY, SyntheticPatches(TINY))


def _one_hot(labels: torch.Tensor, confidence: float) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, 10).movedim(-1, 1).float() * confidence


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 10, (2, 6, 6, 6), generator=generator)


def test_right_labels_cost_less_than_wrong_ones(labels: torch.Tensor) -> None:
    right = segmentation_loss(_one_hot(labels, 6.0), labels)
    unsure = segmentation_loss(_one_hot(labels, 1.0), labels)
    wrong = segmentation_loss(_one_hot((labels + 1) % 10, 6.0), labels)
    assert 0 <= float(right) < 0.2 < float(unsure) < float(wrong)


def test_the_loss_is_cross_entropy_and_dice(labels: torch.Tensor) -> None:
    """Against both terms written out one class at a time."""
    logits = torch.randn(2, 10, 6, 6, 6, generator=torch.Generator().manual_seed(2))
    shares = logits.softmax(1)
    weight = torch.tensor([0.4] + [1.0] * 9)
    own = shares.gather(1, labels[:, None])[:, 0]
    entropy = -(weight[labels] * own.log()).sum() / weight[labels].sum()
    dices = []
    for label in range(1, 10):
        mask = (labels == label).float()
        overlap = (shares[:, label] * mask).sum()
        dices.append((2 * overlap + 1) / (mask.sum() + shares[:, label].sum() + 1))
    expected = entropy + 1 - torch.stack(dices).mean()
    torch.testing.assert_close(segmentation_loss(logits, labels), expected)


def test_a_patch_without_bone_has_a_finite_loss() -> None:
    logits = torch.zeros(1, 10, 4, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(1, 4, 4, 4, dtype=torch.int64))
    loss.backward()
    assert logits.grad is not None
    assert bool(loss.isfinite())
    assert bool(logits.grad.isfinite().all())


def test_voxels_that_nobody_labelled_are_out_of_the_loss(labels: torch.Tensor) -> None:
    """The loss of a half is that of the whole in which the other half is unknown."""
    logits = torch.randn(2, 10, 6, 6, 6, generator=torch.Generator().manual_seed(2))
    half = labels.clone()
    half[:, :, :, 3:] = UNKNOWN
    torch.testing.assert_close(
        segmentation_loss(logits, half), segmentation_loss(logits[..., :3], labels[..., :3])
    )
    nothing = torch.full_like(labels, UNKNOWN)
    assert float(segmentation_loss(logits, nothing)) == 0


def test_where_discs_are_not_labelled_calling_one_is_calling_background() -> None:
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    labels[0, 0] = 3
    discs = labels.where(labels > 0, 9)
    vertebra = labels.where(labels > 0, 4)
    losses = [
        float(segmentation_loss(_one_hot(called, 12.0), labels, discs_known=False))
        for called in (labels, discs, vertebra)
    ]
    assert losses[0] < 0.02
    assert losses[1] < 0.02
    assert losses[2] > 1


def test_sigmoids_lose_the_mean_of_cross_entropy_and_dice(labels: torch.Tensor) -> None:
    """Against both terms written out one class at a time; nobody labelled the last plane."""
    classes = ("C3", "C1", "T1 and below")
    logits = torch.randn(2, 3, 6, 6, 6, generator=torch.Generator().manual_seed(3))
    seen = logits[..., :5].sigmoid()
    entropies, dices = [], []
    for place, label in enumerate((3, 1, 8)):
        mask, share = (labels[..., :5] == label).float(), seen[:, place]
        entropies.append(-(mask * share.log() + (1 - mask) * (1 - share).log()).mean())
        dices.append((2 * (share * mask).sum() + 1) / (mask.sum() + share.sum() + 1))
    expected = (torch.stack(entropies).mean() + 1 - torch.stack(dices).mean()) / 2
    known = labels.clone()
    known[..., 5] = UNKNOWN
    torch.testing.assert_close(independent_loss(logits, known, classes), expected)


def test_a_class_that_is_not_there_asks_for_nothing_but_silence(labels: torch.Tensor) -> None:
    nothing = torch.zeros_like(labels)
    silent = independent_loss(torch.full((2, 7, 6, 6, 6), -9.0), nothing, LEVELS)
    assert float(silent) < 1e-3
    assert float(independent_loss(torch.zeros(2, 7, 6, 6, 6), nothing, LEVELS)) > 0.3


@pytest.mark.slow
def test_patches_repeat_themselves_and_change_shape_with_the_batch() -> None:
    hu, labels = BATCHES(0, 0, 1)
    assert hu.shape == (2, 1, 12, 16, 16)
    assert BATCHES(1, 0, 1)[0].shape == (2, 1, 16, 12, 16)
    assert -1 <= float(hu.min()) < float(hu.max()) <= 1
    assert labels.dtype == torch.int64
    again = PatchBatches(TINY, SyntheticPatches(TINY))(0, 0, 1)
    assert torch.equal(hu, again[0])
    assert torch.equal(labels, again[1])
    parts = [BATCHES(0, part, 2)[0] for part in range(2)]
    assert torch.equal(torch.cat(parts), hu)


def test_patches_of_one_seed_are_one_window() -> None:
    first, again, other = (draw_patch(seed, (12, 12, 12), TINY.patches, ()) for seed in (4, 4, 5))
    assert torch.equal(first.hu, again.hu)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.hu, other.hu)
    assert int(first.labels.max()) <= 9


def test_a_stretched_window_shows_the_same_neck_taller_and_its_left_on_the_left() -> None:
    window = PatchPreset(spacing_mm=4.0, anywhere_share=0.0, stretch=(1.3, 1.3))
    usual, taller = (
        draw_patch(8, (32, 32, 64), replace(window, stretched_share=share), ()).labels
        for share in (0.0, 1.0)
    )
    before, after = (
        [_middle(labels, level) for level in range(2, 8)] for labels in (usual, taller)
    )
    for (upper, lower), (upper_after, lower_after) in zip(
        pairwise(before), pairwise(after), strict=True
    ):
        taken = (lower_after - upper_after)[2] / (lower - upper)[2]
        assert float(taken) == pytest.approx(1.3, rel=0.05)
    for place, place_after in zip(before, after, strict=True):
        assert torch.allclose(place[:2], place_after[:2], atol=0.3)
    width, width_after = ((labels == 7).sum((1, 2)).float() for labels in (usual, taller))
    assert float(functional.cosine_similarity(width, width_after, dim=0)) > 0.99
    assert float(functional.cosine_similarity(width.flip(0), width_after, dim=0)) < 0.5


def _middle(labels: torch.Tensor, level: int) -> torch.Tensor:
    return torch.nonzero(labels == level).float().mean(0)


def test_a_trained_segmenter_loads_by_the_path_of_its_file(tmp_path: Path) -> None:
    job = Job(TINY, tmp_path / "run", devices=CPU, workers=0)
    path = train(job)
    model = load_model(path, device="cpu")
    assert model.entry.name == TINY.name
    assert NOT_VALIDATED in model.entry.limitations
    assert "synthetic patches" in model.entry.training_data
    assert model.entry.metrics == ()
    untouched = path.read_bytes()
    again = train(replace(job, resume=True))
    assert load_model(again, device="cpu").entry.parameters == model.entry.parameters
    first = {name: t.clone() for name, t in model.network.state_dict().items()}
    second = load_model(again, device="cpu").network.state_dict()
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    assert len(again.read_bytes()) == pytest.approx(len(untouched), abs=200)


@pytest.mark.slow
def test_a_run_may_begin_from_a_model(tmp_path: Path) -> None:
    still = replace(TINY, learning_rate=0.0, weight_decay=0.0, seed=5)
    path = train(Job(TINY, tmp_path / "first", devices=CPU, workers=0))
    job = Job(still, tmp_path / "second", start=path, devices=CPU, workers=0)
    begun = load_model(train(job), device="cpu")
    start = load_model(path, device="cpu")
    assert start.weights_sha256[:12] in begun.entry.training_data
    for name, tensor in start.network.named_parameters():
        assert torch.equal(dict(begun.network.named_parameters())[name], tensor), name
    other = replace(TINY, arguments=TINY.arguments | {"widths": [4, 8]})
    with pytest.raises(UsageError) as caught:
        train(Job(other, tmp_path / "third", start=path, devices=CPU))
    assert caught.value.code == "other_architecture"


def test_a_segmenter_gets_better_at_what_it_sees(tmp_path: Path) -> None:
    """Enough steps on the same two patches must lower the loss on them."""
    batch = BATCHES(0, 0, 1)
    torch.manual_seed(1)
    network = build(TINY.architecture, TINY.arguments)
    run = Run(CPU.fabric(), network, Schedule(30, 1e-2, 0.0, 0.5), tmp_path)

    def loss(network: torch.nn.Module, patches: Batch) -> torch.Tensor:
        return segmentation_loss(network(patches[0]), patches[1])

    run.fit(lambda step, part, parts: batch, loss)
    assert run.losses[-1] < run.losses[0] - 0.5


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        preset_named("seg-unet4d")
    assert caught.value.code == "unknown_preset"
    assert SEGMENTER.name in caught.value.hint
