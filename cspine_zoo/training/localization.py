"""Training of localizers: which pixels of a slice belong to the fractured region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.training.loop import Batch, Run, write_weights
from cspine_zoo.training.recipes import LocalizerPreset
from cspine_zoo.training.records import Vertebrae
from cspine_zoo.training.slice_batches import FULL_CELL, SliceBatches, loader_processes, slice_steps
from cspine_zoo.training.task import Task, fitted, schedule_of, untrained

_ENCODER: Final = "network.encoder."

_FRACTURED_PIXEL_WEIGHT: Final = 5.0
"""As much as the cells of the maps that teach slice encoders."""


@dataclass(frozen=True)
class LocalizerTask(Task):
    """Training of one localizer.

    Attributes:
        preset: of the row.
        cache: of the crops.
        encoder: weights of a classifier's slice encoder, whose inner stages to begin from.
    """

    preset: LocalizerPreset
    cache: Path
    encoder: Mapping[str, Tensor] | None = None


def train_localizer(fabric: Fabric, task: LocalizerTask) -> None:
    """Train a localizer, in one of any number of processes.

    Raises:
        TrainingStopped: the loss is no longer finite.
        UsageError: no slice is known to show a fracture.
    """
    preset, vertebrae = task.preset, Vertebrae(task.cache)
    steps = slice_steps(vertebrae, preset.passes, preset.batch)
    network = untrained(preset)
    if task.start is not None:
        network.load_state_dict(task.start)
    if task.encoder is not None:
        begin_from(network, task.encoder)
    begun = task.start is not None or task.encoder is not None
    if begun and not preset.encoder_learns:
        hold(network.get_submodule(_ENCODER.rstrip(".")))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = schedule_of(preset, steps, preset.learning_rate, warm_up=preset.warm_up)
    run = Run(fabric, network, schedule, task.out)
    task = replace(task, workers=loader_processes(task.workers, fabric.device))
    fitted(run, task, SliceBatches(vertebrae, preset), region_loss)
    if fabric.is_global_zero:
        write_weights(run.result().state_dict(), task.result)


def begin_from(localizer: nn.Module, encoder: Mapping[str, Tensor]) -> None:
    """Fill a localizer's encoder from a slice encoder, which may have further stages than it."""
    localizer.load_state_dict(
        {
            name: encoder[name.removeprefix(_ENCODER)] if name.startswith(_ENCODER) else tensor
            for name, tensor in localizer.state_dict().items()
        }
    )


def hold(stages: nn.Module) -> None:
    """Keep a part of a network as it is while the rest learns."""
    stages.requires_grad_(False)
    stages.register_forward_pre_hook(_as_it_was)


def _as_it_was(stages: nn.Module, _inputs: object) -> None:
    """Normalise by what the stages have learned, not by the batch, in training too."""
    stages.eval()


def region_loss(localizer: nn.Module, batch: Batch) -> Tensor:
    """Cross entropy of every pixel against the cells of the fracture maps, with soft edges.

    A map's cell counts as fractured in full long before the thin line of a fracture fills it: the
    network is to mark regions.
    """
    images, _, maps = batch
    logits = localizer(images.contiguous(memory_format=torch.channels_last)[:, None])
    truth = functional.interpolate(
        (maps / FULL_CELL).clamp(max=1.0),
        size=logits.shape[-2:],
        mode="bilinear",
        align_corners=False,
    )
    weight = torch.tensor(_FRACTURED_PIXEL_WEIGHT, device=logits.device)
    return functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)
