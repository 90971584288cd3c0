"""Training of the slice classifiers' heads, on the features of one trained encoder."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.registry import build
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.synthetic.fracture import FIRST_LEVEL_ODDS
from cspine_zoo.training.augment import posed, random_poses, revalued
from cspine_zoo.training.loop import Batch, Run, Schedule
from cspine_zoo.training.losses import slice_loss, study_loss, vertebra_loss
from cspine_zoo.training.mixup import shuffled
from cspine_zoo.training.recipes import ClassifierPreset
from cspine_zoo.training.records import Vertebrae, dequantised

LOG: Final = logging.getLogger(__name__)

PREVALENCE: Final = sum(FIRST_LEVEL_ODDS) / len(FIRST_LEVEL_ODDS)
"""Share of fractured vertebrae in RSNA 2022's training studies, 10.2 %."""

_SLICE_WEIGHT: Final = 0.5
_LEVELS_A_STUDY: Final = 7


@dataclass(frozen=True, eq=False)
class Features:
    """What a head learns from.

    Attributes:
        values: (V, N, S, F) of V views of N vertebrae.
        truth: (N,) 1 for fractured.
        slices: (N, S) 1 where the fracture shows.
        known: (N, S) 1 where that is known.
        studies: int (N,), number of the study that each is of.
    """

    values: Tensor
    truth: Tensor
    slices: Tensor
    known: Tensor
    studies: Tensor


class HeadPupil(nn.Module):
    """A classifier without its encoder, called with features."""

    def __init__(self, network: SliceClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B,) and slice logits (B, S) from features (B, S, F)."""
        output = self.network.score(functional.dropout(features, 0.2, self.training))
        return output.logit, output.slice_logits


@dataclass(frozen=True, eq=False)
class HeadBatches:
    """Random vertebrae, or all those of random studies where patients count."""

    features: Features
    preset: ClassifierPreset

    def __call__(self, step: int, part: int, parts: int) -> Batch:
        """Features (B, S, F), truth (B,), slice truth and known mask (B, S), study (B,)."""
        data, preset = self.features, self.preset
        generator = Generator().manual_seed((preset.seed * 1_000_003 + step) * 1_009 + part)
        if preset.weights.counts_patients:
            count = max(1, preset.batch // _LEVELS_A_STUDY)
            drawn = torch.randint(int(data.studies.max()) + 1, (count,), generator=generator)
            found = [(data.studies == study).nonzero()[:, 0] for study in drawn]
            chosen = torch.cat(found)
            owner = torch.repeat_interleave(
                torch.arange(count), torch.tensor([len(rows) for rows in found])
            )
        else:
            chosen = torch.randint(len(data.truth), (preset.batch,), generator=generator)
            owner = torch.arange(preset.batch)
        view = torch.randint(len(data.values), (len(chosen),), generator=generator)
        columns: Batch = (data.values[view, chosen], data.slices[chosen], data.known[chosen])
        if preset.shuffled_share > 0:
            columns = shuffled(columns, preset.shuffled_share, generator)
        values, slices, known = columns
        return values, data.truth[chosen], slices, known, owner


def train_head(
    fabric: Fabric,
    preset: ClassifierPreset,
    network: SliceClassifier,
    features: Features,
    out: Path,
    *,
    resume: bool = False,
) -> SliceClassifier:
    """Train sequence model, pooling and head on the features of a trained encoder.

    Args:
        fabric: of one process.
        preset: of the row.
        network: with that encoder; the rest of it is trained.
        features: of the encoder.
        out: directory of the run's state.
        resume: go on from the state in ``out``.

    Raises:
        UsageError: all vertebrae are whole, or all are fractured.
        TrainingStopped: the loss is no longer finite.
    """
    share = float(features.truth.mean())
    if share in (0.0, 1.0):
        raise UsageError("one_class", "a classifier needs fractured and whole vertebrae.")
    steps = max(1, preset.head_passes * len(features.truth) // preset.batch)
    schedule = Schedule(
        steps, preset.head_rate, preset.weight_decay, ema=0.0, save_every=500, seed=preset.seed
    )

    def loss(pupil: nn.Module, batch: Batch) -> Tensor:
        values, truth, slices, known, owner = batch
        logits, slice_logits = pupil(values)
        whole = (
            study_loss(logits, truth, owner, preset.weights)
            if preset.weights.counts_patients
            else vertebra_loss(logits, truth, preset.weights)
        )
        return whole + _SLICE_WEIGHT * slice_loss(slice_logits, slices, known, preset.weights)

    encoder, network.encoder = network.encoder, nn.Identity()  # type: ignore[assignment]
    run = Run(fabric, HeadPupil(network), schedule, out)
    if resume:
        run.resume()
    run.fit(HeadBatches(features, preset), loss)
    trained = run.result().network
    trained.encoder = encoder
    odds = share * preset.weights.fractured / ((1 - share) * preset.weights.whole)
    _shift_prior(trained, odds)
    return trained.cpu().eval()


def _shift_prior(network: SliceClassifier, trained_odds: float) -> None:
    """Move the head's bias from the odds of a fracture in training to those among patients.

    The weights of a vertebra's slices sum to 1, so its logit moves by the same amount.
    """
    with torch.no_grad():
        network.head.bias.add_(math.log(PREVALENCE / (1 - PREVALENCE)) - math.log(trained_odds))


@torch.no_grad()
def encoder_features(
    encoder: SliceEncoder,
    vertebrae: Vertebrae,
    preset: ClassifierPreset,
    views: int,
    device: torch.device,
) -> Features:
    """Features of every vertebra under ``views`` augmentations (the first is none)."""
    encoder = encoder.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels = preset.preprocess.channels
    generator = Generator().manual_seed(preset.seed)
    stacks = []
    for view in range(views):
        rows = []
        for row in range(len(vertebrae)):
            images = dequantised(torch.from_numpy(vertebrae.images(row)), channels)
            if view:
                poses = random_poses(1, generator).expand(len(images), -1, -1)
                images = revalued(posed(images, poses), generator, channels.index("mask"))
            images = images.to(device).contiguous(memory_format=torch.channels_last)
            rows.append(encoder(images[None])[0].cpu())
        stacks.append(torch.stack(rows))
        LOG.info("features of view %d of %d", view + 1, views)
    numbers = {
        study: number for number, study in enumerate(sorted(set(vertebrae.studies.tolist())))
    }
    return Features(
        torch.stack(stacks),
        torch.from_numpy(vertebrae.labels).float(),
        torch.from_numpy(vertebrae.slice_truth).float(),
        torch.from_numpy(vertebrae.slice_known).float(),
        torch.tensor([numbers[study] for study in vertebrae.studies.tolist()]),
    )


def untrained_classifier(preset: ClassifierPreset) -> SliceClassifier:
    """The network of a row, the same each time.

    Raises:
        UsageError: it is none.
    """
    torch.manual_seed(preset.seed)
    network = build(preset.architecture, preset.arguments)
    if not isinstance(network, SliceClassifier):
        raise UsageError("wrong_preset", f"{preset.name} is no slice classifier")
    return network
