"""Networks that are trained as a whole: their batches, their loss, a run."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from cspine_zoo.errors import UsageError
from cspine_zoo.models.heads import last_bias
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.training.classification import untrained_classifier
from cspine_zoo.training.crop_batches import CropBatches
from cspine_zoo.training.crop_cache import LazyShards
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.end_to_end import EndToEndTask, fracture_loss, train_end_to_end
from cspine_zoo.training.prior import PATIENT_PREVALENCE, PREVALENCE, shift_prior
from cspine_zoo.training.recipes import ClassWeights, EndToEndPreset
from cspine_zoo.training.records import VertebraRecord
from cspine_zoo.training.spines import Spines, truth_of
from tests.training.made_up import MadeUp, tiny_source

CPU = Devices(1, "cpu", "float32")
VERTEBRAE = tiny_source("cls-bilstm-resnet18")
SPINES = tiny_source("cls-seven-bilstm-vgg16")


def test_crops_are_made_when_a_batch_first_asks_for_them(tmp_path: Path) -> None:
    source = MadeUp(3, 7)
    batches = CropBatches(LazyShards(tmp_path, source), VERTEBRAE, spines=False)
    images, truth, present, patients = batches(0, 0, 1)
    assert len(list(tmp_path.glob("shard-*"))) == 1
    assert images.shape == (4, 5, 4, 24, 24)
    assert truth.shape == present.shape == patients.shape == (4,)
    again = CropBatches(LazyShards(tmp_path, source), VERTEBRAE, spines=False)(0, 0, 1)
    assert all(torch.equal(one, other) for one, other in zip((images, truth), again, strict=False))
    for step in range(1, 3):
        batches(step, 0, 1)
    assert len(list(tmp_path.glob("shard-*"))) == 3


def test_an_empty_shard_gives_its_turn_away(tmp_path: Path) -> None:
    shards = LazyShards(tmp_path, MadeUp(2, 7, empty=(0,)))
    assert len(shards.turn(0, 1)) == len(shards.turn(1, 1)) == 14
    with pytest.raises(UsageError) as caught:
        LazyShards(tmp_path / "none", MadeUp(1, 7, empty=(0,))).turn(0, 1)
    assert caught.value.code == "no_vertebrae"


def test_a_batch_of_spines_has_nothing_where_no_vertebra_is(tmp_path: Path) -> None:
    preset = replace(SPINES, batch=8, accumulate=1, mixup_alpha=0.0)
    batches = CropBatches(LazyShards(tmp_path, MadeUp(1, 5)), preset, spines=True)
    images, truth, present, patients = batches(0, 0, 1)
    assert images.shape == (8, 7, 5, 4, 24, 24)
    assert present.tolist() == [[True] * 5 + [False] * 2] * 8
    assert images[~present].abs().sum() == 0
    assert truth[~present].sum() == 0
    assert torch.equal(patients, truth.amax(1))
    assert set(patients.tolist()) == {0.0, 1.0}


def test_mixed_spines_share_their_truth_and_keep_what_both_have(tmp_path: Path) -> None:
    preset = replace(SPINES, batch=8, accumulate=1, mixed_share=1.0)
    batches = CropBatches(LazyShards(tmp_path, MadeUp(1, 5)), preset, spines=True)
    _, truth, present, patients = batches(0, 0, 1)
    assert present.tolist() == [[True] * 5 + [False] * 2] * 8
    assert 0 < truth[truth > 0].min() < 1
    assert patients.unique().numel() > 2


def test_patients_are_whole_or_broken_anywhere() -> None:
    """Twin scans, each broken where the other is whole, and a patient without a twin."""
    levels = np.concatenate([np.arange(1, 8)] * 3)
    studies = np.repeat([0, 1, 2], 7)
    labels = np.array([1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    twins = np.concatenate([np.arange(7, 14), np.arange(7), np.full(7, -1)])
    spines = Spines(labels, levels, studies, twins)
    rows = spines.draw(400, Generator().manual_seed(1))
    assert np.array_equal(levels[rows], np.broadcast_to(np.arange(1, 8), (400, 7)))
    lonely = rows[:, 0] >= 14
    assert (rows[lonely] >= 14).all()
    assert (rows[~lonely] < 14).all()
    fractured = truth_of(labels, rows)[~lonely].sum(1)
    assert 0.4 < (fractured == 0).mean() < 0.6
    assert (fractured[fractured > 0] < 7).mean() > 0.9


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_a_spine_counts_fifteen_parts_and_its_patient_one() -> None:
    """Two slices each: .8 and .5 of a fractured, .1 and .1 of a whole vertebra; patient .6.

    Vertebrae: (2 x (-ln .8 - ln .5) + 2 x -ln .9) / 6; patient: -ln .6.
    """
    slices = torch.tensor([[[_logit(0.8), _logit(0.5)], [_logit(0.1), _logit(0.1)], [9.0, 9.0]]])
    batch = (
        torch.zeros(1),
        torch.tensor([[1.0, 0.0, 0.0]]),
        torch.tensor([[True, True, False]]),
        torch.tensor([1.0]),
    )
    logits = slices.mean(-1), slices, torch.tensor([_logit(0.6)])
    vertebrae = (2 * (0.223144 + 0.693147) + 2 * 0.105361) / 6
    expected = (15 * vertebrae + 0.510826) / 16
    assert float(fracture_loss(logits, batch, SPINES)) == pytest.approx(expected, abs=1e-5)
    assert float(fracture_loss(logits[:2], batch, SPINES)) == pytest.approx(vertebrae, abs=1e-5)


def test_a_row_may_judge_vertebrae_instead_of_slices() -> None:
    """(-ln .8 - ln .9) / 2: system 2 counts both classes alike."""
    preset = tiny_source("cls-bigru-attention-effv2s")
    logits = torch.tensor([_logit(0.8), _logit(0.1)]), torch.zeros(2, 3)
    truth, there = torch.tensor([1.0, 0.0]), torch.ones(2, dtype=torch.bool)
    loss = fracture_loss(logits, (torch.zeros(1), truth, there, truth), preset)
    assert float(loss) == pytest.approx((0.223144 + 0.105361) / 2, abs=1e-5)


@pytest.mark.parametrize(
    "preset",
    [
        SPINES,
        pytest.param(VERTEBRAE, marks=pytest.mark.slow),
        pytest.param(tiny_source("cls-bigru-attention-effv2s"), marks=pytest.mark.slow),
    ],
    ids=lambda preset: preset.name,
)
def test_a_run_changes_every_part_and_can_be_taken_up_again(
    preset: EndToEndPreset, tmp_path: Path
) -> None:
    preset = replace(preset, passes=4 if preset is SPINES else 1)
    source = MadeUp(1, 4)
    task = EndToEndTask(preset, source, tmp_path / "crops", out=tmp_path / "run", workers=0)
    assert task.steps == (4 if task.spines else 7)
    assert CPU.run(train_end_to_end, task)
    trained = torch.load(task.result, weights_only=True)
    network = untrained_classifier(preset)
    first = network.state_dict()
    assert trained.keys() == first.keys()
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert {name for name, value in trained.items() if torch.equal(value, first[name])} == frozen
    assert CPU.run(train_end_to_end, replace(task, resume=True))
    again = torch.load(task.result, weights_only=True)
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.items())
    pixels = preset.preprocess.n_slices * 4 * 24**2  # type: ignore[operator]
    assert task.crop_bytes == 4 * 7 * pixels


class Plain(MadeUp):
    """Fractures that nobody can overlook: bright all over."""

    def records(self, number: int) -> list[VertebraRecord]:
        return [
            replace(r, images=np.maximum(r.images, np.uint8(200 * r.label)))
            for r in super().records(number)
        ]


@pytest.mark.slow
def test_what_is_plain_to_see_is_learnt(tmp_path: Path) -> None:
    """Half of the loss of the best constant, which is .64 where positives count twice."""
    eager = replace(
        VERTEBRAE,
        batch=8,
        accumulate=1,
        passes=20,
        learning_rate=1e-2,
        mixup_alpha=0.0,
        ema=0.5,
    )
    source = Plain(1, 7)
    task = EndToEndTask(eager, source, tmp_path / "crops", out=tmp_path / "run", workers=0)
    CPU.run(train_end_to_end, task)
    curve = (tmp_path / "run" / "curve.csv").read_text().splitlines()[-10:]
    assert np.mean([float(line.rpartition(",")[2]) for line in curve]) < 0.32


def test_odds_of_training_become_those_of_patients() -> None:
    """A network that says what it saw says, shifted, how often fractures are."""
    network = untrained_classifier(SPINES)
    assert isinstance(network, SpineClassifier)
    heads = network.head, network.patient_head
    for head in heads:
        assert head is not None
        torch.nn.init.zeros_(last_bias(head))
    shift_prior(network, 0.25, 0.5, ClassWeights(fractured=2.0))
    # Odds seen: 2 x .25 / .75 and 2 x .5 / .5.
    seen = 2 / 3, 2.0
    for head, odds, prevalence in zip(heads, seen, (PREVALENCE, PATIENT_PREVALENCE), strict=True):
        assert head is not None
        shifted = odds * math.exp(last_bias(head).item())
        assert shifted / (1 + shifted) == pytest.approx(prevalence, abs=1e-5)
    vertebra = untrained_classifier(VERTEBRAE)
    assert isinstance(vertebra, SliceClassifier)
    before = last_bias(vertebra.head).item()
    shift_prior(vertebra, 1.0, 1.0, ClassWeights())
    assert last_bias(vertebra.head).item() < before
