"""From a preset to a checkpoint that loads by its path; the loss that drives it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cspine_zoo.errors import UsageError
from cspine_zoo.models.registry import build
from cspine_zoo.synthetic.patches import PatchPreset, draw_patch
from cspine_zoo.training.loop import Run, Schedule
from cspine_zoo.training.presets import SEGMENTER
from cspine_zoo.training.rows import NOT_VALIDATED, Provenance, segmenter_row
from cspine_zoo.training.segmentation import PatchDataset, segmentation_loss, train_segmenter
from cspine_zoo.training.train import Job, train
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.load import load_model

TINY = replace(
    SEGMENTER,
    arguments=SEGMENTER.arguments | {"widths": [4, 6]},
    patches=PatchPreset(shapes=((12, 16, 16), (16, 12, 16)), spacing_mm=6.0),
    steps=2,
)


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


def test_patches_repeat_themselves_and_change_shape_with_the_batch() -> None:
    dataset = PatchDataset(TINY, (), first=1, count=2)
    assert len(dataset) == 2
    hu, labels = dataset[0]
    assert hu.shape == (1, 12, 16, 16)
    assert dataset[1][0].shape == (1, 16, 12, 16)
    assert -1 <= float(hu.min()) < float(hu.max()) <= 1
    assert labels.dtype == torch.int64
    again = PatchDataset(TINY, (), first=1, count=2)[0]
    assert torch.equal(hu, again[0])
    assert torch.equal(labels, again[1])


def test_patches_of_one_seed_are_one_window() -> None:
    first, again, other = (draw_patch(seed, (12, 12, 12), TINY.patches, ()) for seed in (4, 4, 5))
    assert torch.equal(first.hu, again.hu)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.hu, other.hu)
    assert int(first.labels.max()) <= 9


def test_a_trained_segmenter_loads_by_the_path_of_its_file(tmp_path: Path) -> None:
    network = train_segmenter(TINY, tmp_path / "run", workers=0)
    again = train_segmenter(TINY, tmp_path / "run", resume=True, workers=0)
    row = segmenter_row(TINY, Provenance("cspine-zoo train x", "a CPU", 0.1, ("map.nii.gz",)))
    path = tmp_path / "seg.safetensors"
    entry = checkpoint.write(network, row, path)
    model = load_model(path, device="cpu")
    assert model.entry.parameters == sum(p.numel() for p in network.parameters())
    assert model.entry.name == TINY.name
    assert model.weights_sha256 == entry.files[0].sha256
    assert NOT_VALIDATED in model.entry.limitations
    assert "map.nii.gz" in model.entry.training_data
    assert model.entry.metrics == ()
    batch = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = network.eval()(batch)
        torch.testing.assert_close(again(batch), expected, rtol=0, atol=0)
        torch.testing.assert_close(model(batch), expected, rtol=0.02, atol=0.02)


def test_a_segmenter_gets_better_at_what_it_sees(tmp_path: Path) -> None:
    """Enough steps on the same two patches must lower the loss on them."""
    batch = [PatchDataset(TINY, (), 0, 2)[index] for index in range(2)]
    hu, labels = (torch.stack(column) for column in zip(*batch, strict=True))
    torch.manual_seed(1)
    network = build(TINY.architecture, TINY.arguments)
    run = Run(network, Schedule(30, 1e-2, 0.0, 0.5), tmp_path)
    losses = []

    def loss(patches: tuple[torch.Tensor, ...]) -> torch.Tensor:
        value = segmentation_loss(network(patches[0]), patches[1])
        losses.append(value.item())
        return value

    run.fit([(hu, labels)] * 30, loss)
    assert losses[-1] < losses[0] - 0.5


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        train(Job("seg-unet4d", tmp_path / "run"))
    assert caught.value.code == "unknown_preset"
    assert SEGMENTER.name in caught.value.hint
    assert not (tmp_path / "run").exists()
