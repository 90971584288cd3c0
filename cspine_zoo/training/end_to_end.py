"""Training of encoder, sequence and head together, on whole vertebrae or spines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.training.classification import untrained_classifier
from cspine_zoo.training.crop_batches import CropBatches
from cspine_zoo.training.crop_cache import LazyShards, RecordSource
from cspine_zoo.training.loop import Batch, Run, write_weights
from cspine_zoo.training.losses import slice_loss, vertebra_loss
from cspine_zoo.training.prior import shift_prior
from cspine_zoo.training.recipes import EndToEndPreset
from cspine_zoo.training.task import Task, fitted, schedule_of

_LEVELS: Final = 7
_VERTEBRA_PARTS: Final = 15
"""Of the loss of a spine, of which the patient is one part more (system 1, after the winner)."""


class EndToEndPupil(nn.Module):
    """A classifier that returns plain tensors, which every kind of process can hand on."""

    def __init__(self, network: SliceClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        """Logits, slice logits and, of some spines, patient logits.

        Args:
            images: (B, S, C, H, W), or (B, 7, S, C, H, W) of spines.
            present: bool (B,) or (B, 7).
        """
        shape = images.shape
        flat = images.flatten(0, -4).contiguous(memory_format=torch.channels_last)
        images = flat.unflatten(0, shape[:-3])
        output: ClassifierOutput = (
            self.network(images, present)
            if isinstance(self.network, SpineClassifier)
            else self.network(images)
        )
        patient = () if output.patient_logit is None else (output.patient_logit,)
        return output.logit, output.slice_logits, *patient


@dataclass(frozen=True)
class EndToEndTask(Task):
    """Training of one row.

    Attributes:
        preset: of the row.
        source: of its crops.
        cache: directory that these are kept in.
    """

    preset: EndToEndPreset
    source: RecordSource
    cache: Path

    @property
    def steps(self) -> int:
        """Of the optimiser; a spine counts as its seven vertebrae."""
        preset = self.preset
        samples = self.source.studies * (1 if self.spines else _LEVELS)
        return max(1, preset.passes * samples // preset.batch)

    @property
    def spines(self) -> bool:
        """Whether the network reads whole spines."""
        return self.preset.architecture == "spine-classifier"

    @property
    def crop_bytes(self) -> int:
        """What the crops take on disk when all are made, one byte a pixel and channel."""
        size = self.preset.preprocess
        pixels = (size.n_slices or 0) * len(size.channels) * (size.size_px or 0) ** 2
        return self.source.studies * _LEVELS * pixels

    def batches(self) -> CropBatches:
        """Of this run."""
        return CropBatches(LazyShards(self.cache, self.source), self.preset, self.spines)


def train_end_to_end(fabric: Fabric, task: EndToEndTask) -> None:
    """Train a classifier as a whole, in one of any number of processes.

    Raises:
        UsageError: there is nothing to learn from.
        TrainingStopped: the loss is no longer finite.
    """
    preset, batches = task.preset, task.batches()
    network = untrained_classifier(preset)
    if task.start is not None:
        network.load_state_dict(task.start)
    pupil = EndToEndPupil(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = schedule_of(preset, task.steps, preset.learning_rate, least_rate=preset.least_rate)
    run = Run(fabric, pupil, schedule, task.out)

    def loss(pupil: nn.Module, batch: Batch) -> Tensor:
        return fracture_loss(pupil(batch[0], batch[2]), batch, preset)

    fitted(run, task, batches, loss)
    if fabric.is_global_zero:
        trained = run.result().network.cpu()
        shift_prior(trained, *batches.shares(task.steps), preset.weights)
        write_weights(trained.state_dict(), task.result)


def fracture_loss(logits: tuple[Tensor, ...], batch: Batch, preset: EndToEndPreset) -> Tensor:
    """Cross entropy of the vertebrae, or of their slices, and of patients where they have a head.

    Args:
        logits: of vertebrae, of their slices and, where there is a head, of patients.
        batch: as ``CropBatches`` makes it.
        preset: names the weights of the classes and what is judged.
    """
    _, truth, present, patients = batch
    there = truth[present]
    if preset.judged == "slices":
        slices = logits[1][present]
        spread = there[:, None].expand_as(slices)
        loss = slice_loss(slices, spread, torch.ones_like(slices), preset.weights)
    else:
        loss = vertebra_loss(logits[0][present], there, preset.weights)
    if len(logits) == 2:
        return loss
    patient = vertebra_loss(logits[2], patients, preset.weights)
    return (_VERTEBRA_PARTS * loss + patient) / (_VERTEBRA_PARTS + 1)
