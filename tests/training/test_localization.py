"""From fracture maps to a localizer that loads by its path and points at them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cspine_zoo.errors import CSpineZooError, UsageError
from cspine_zoo.training.classification import untrained_classifier
from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.localization import (
    LocalizerTask,
    begin_from,
    region_loss,
    train_localizer,
)
from cspine_zoo.training.localizer_presets import LOCALIZERS
from cspine_zoo.training.recipes import LocalizerPreset
from cspine_zoo.training.records import MAP_PX, record, write_shard
from cspine_zoo.training.rows import Provenance, trained_row
from cspine_zoo.training.start import read_start
from cspine_zoo.training.task import untrained
from cspine_zoo.training.train import Job, crop_fingerprint, train
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.load import load_model
from tests.training.made_up import SMALL

CPU = Devices(1, "cpu", "float32")
TINY: LocalizerPreset = replace(
    LOCALIZERS[0],
    arguments=LOCALIZERS[0].arguments | {"backbone": "test_efficientnet", "widths": [16, 8, 8]},
    preprocess=SMALL,
    batch=16,
    passes=20,
    shards=1,
    learning_rate=1e-2,
    ema=0.8,
)


def records(fractured: int = 24) -> list:
    """Dark noise; where it is bright, in one of four places, there is the fracture."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(fractured):
        images = rng.integers(60, 100, (5, 4, 24, 24)).astype(np.uint8)
        whole = images.copy()
        maps = np.zeros((5, MAP_PX, MAP_PX), np.uint8)
        row, column = 12 * (number % 2), 12 * (number // 2 % 2)
        images[1:4, :3, row + 3 : row + 9, column + 3 : column + 9] = 250
        map_row, map_column = row * MAP_PX // 24, column * MAP_PX // 24
        maps[1:4, map_row + 4 : map_row + 12, map_column + 4 : map_column + 12] = 255
        truth = np.array([False, True, True, True, False])
        study, twin = f"{number}-broken", f"{number}-whole"
        made.append(record(images, 1, "C3", study, twin, maps, truth))
        made.append(record(whole, 0, "C3", twin, study))
    return made


class Fixed(nn.Module):
    """The same logits whatever it sees."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        assert slices.shape[:2] == (self.logits.shape[0], 1)
        return self.logits


def test_the_loss_is_of_pixels_in_regions_with_soft_edges() -> None:
    maps = torch.zeros(2, 1, 4, 4)
    maps[0, 0, 1:3, 1:3] = 0.25  # a quarter full is full
    truth = torch.nn.functional.interpolate(4 * maps, size=(8, 8), mode="bilinear")
    images = torch.zeros(2, 4, 8, 8)
    right, wrong, unsure = (
        float(region_loss(Fixed(logits), (images, torch.zeros(2), maps)))
        for logits in (torch.logit(truth, 1e-4), -torch.logit(truth, 1e-4), 0 * truth)
    )
    assert right < 0.5 * unsure
    assert unsure < wrong


def test_a_localizer_stands_on_the_inner_stages_of_a_classifier(tmp_path: Path) -> None:
    arguments = LIGHT[0].arguments | {"backbone": "test_efficientnet", "features": 16}
    recipe = replace(LIGHT[0], arguments=arguments)
    classifier = untrained_classifier(recipe)
    row = trained_row(recipe, Provenance("made up", "nothing", 0.0))
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    file = tmp_path / "cls.safetensors"
    checkpoint.write(classifier, replace(row, parameters=parameters), file, half=False)
    start = read_start(file, TINY)
    assert "the slice encoder of cls-cnn-lite0" in start.text
    network = untrained(TINY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    begin_from(network, start.encoder())
    known = classifier.encoder.state_dict()
    prefix = "network.encoder."
    for name, tensor in network.state_dict().items():
        own = name.removeprefix(prefix)
        assert torch.equal(tensor, known[own] if name.startswith(prefix) else before[name])
    with pytest.raises(UsageError) as caught:
        read_start(file, LOCALIZERS[0])  # another backbone
    assert caught.value.code == "other_architecture"


@pytest.mark.parametrize("whole", [False, True])
def test_the_stages_that_it_stands_on_stay_as_they_were(tmp_path: Path, whole: bool) -> None:
    write_shard(tmp_path / "shard-00000", records(8))
    known = {
        name: torch.rand_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in untrained(TINY).state_dict().items()
    }
    prefix = "network.encoder."
    stages = {k.removeprefix(prefix): v for k, v in known.items() if k.startswith(prefix)}
    task = LocalizerTask(replace(TINY, passes=2), tmp_path, out=tmp_path / "run", workers=0)
    task = replace(task, start=known) if whole else replace(task, encoder=stages)
    CPU.run(train_localizer, task)
    learned = torch.load(task.result, weights_only=True)
    for name, tensor in stages.items():  # running means among them
        assert torch.equal(learned[prefix + name], tensor), name
    assert not torch.equal(learned["network.head.weight"], known["network.head.weight"])


@pytest.mark.slow
def test_a_localizer_learns_where_and_its_checkpoint_says_so(tmp_path: Path) -> None:
    cache = tmp_path / f"crops-{crop_fingerprint(TINY, [])}"
    cache.mkdir()
    write_shard(cache / "shard-00000", records())
    path = train(Job(TINY, tmp_path, devices=CPU, workers=0))
    model = load_model(path, "cpu")
    assert model.entry.task == "fracture-localization"
    assert model.entry.labels == ("fracture",)
    assert model.entry.segmenter == TINY.segmenter
    curve = np.loadtxt(tmp_path / TINY.name / "curve.csv", delimiter=",", skiprows=1)[:, 2]
    assert curve[-10:].mean() < 0.5 * curve[:5].mean()
    bright = torch.full((1, 1, 4, 24, 24), -0.4)
    bright[..., :3, 15:21, 3:9] = 0.96
    bright[..., 3, :, :] = 0.3
    with torch.inference_mode():
        heat = model(bright)[0, 0].sigmoid()
    assert float(heat[16:20, 4:8].mean()) > 0.6
    assert float(heat[:12].mean()) < 0.3


def test_maps_are_needed(tmp_path: Path) -> None:
    whole = [made for made in records(1) if made.label == 0]
    write_shard(tmp_path / "shard-00000", whole)
    with pytest.raises(CSpineZooError) as caught:
        CPU.run(train_localizer, LocalizerTask(TINY, tmp_path, out=tmp_path / "run"))
    assert caught.value.code == "no_slice_truth"
