"""Training of localizers: which pixels of a slice belong to the fractured region."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.errors import UsageError
from cspine_zoo.models.registry import build
from cspine_zoo.training.loop import Batch, Run, Schedule, write_weights
from cspine_zoo.training.recipes import LocalizerPreset
from cspine_zoo.training.records import Vertebrae
from cspine_zoo.training.sigmoid_loss import sigmoid_loss
from cspine_zoo.training.slice_encoder import FULL_CELL, SliceBatches


@dataclass(frozen=True)
class LocalizerTask:
    """Training of one localizer.

    Attributes:
        preset: of the row.
        cache: of the crops.
        out: directory of the run; ``network.pt`` in it is what comes out.
        start: weights to begin from.
        resume: go on from the state in ``out``.
        workers: processes that make batches.
    """

    preset: LocalizerPreset
    cache: Path
    out: Path
    start: dict[str, Tensor] | None = None
    resume: bool = False
    workers: int = 1

    @property
    def result(self) -> Path:
        """State dict of the averaged network."""
        return self.out / "network.pt"


def train_localizer(fabric: Fabric, task: LocalizerTask) -> None:
    """Train a localizer, in one of any number of processes.

    Raises:
        TrainingStopped: the loss is no longer finite.
        UsageError: no slice is known to show a fracture.
    """
    preset, vertebrae = task.preset, Vertebrae(task.cache)
    positives = int(vertebrae.slice_truth.sum())
    if not positives:
        raise UsageError(
            "no_slice_truth",
            "no slice is known to show a fracture.",
            hint="A localizer needs studies with boxes, or synthetic CT.",
        )
    network = untrained_localizer(preset)
    if task.start is not None:
        network.load_state_dict(task.start)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    schedule = Schedule(
        max(1, preset.passes * 2 * positives // preset.batch),
        preset.learning_rate,
        preset.weight_decay,
        preset.ema,
        accumulate=preset.accumulate,
        save_every=preset.save_every,
        seed=preset.seed,
        warm_up=preset.warm_up,
    )
    run = Run(fabric, network, schedule, task.out)
    if task.resume:
        run.resume()
    run.fit(SliceBatches(vertebrae, preset), region_loss, task.workers)
    if fabric.is_global_zero:
        write_weights(run.result().state_dict(), task.result)


def region_loss(localizer: nn.Module, batch: Batch) -> Tensor:
    """Loss of every pixel against the cells of the fracture maps, with soft edges.

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
    return sigmoid_loss(logits, truth, torch.ones_like(truth, dtype=torch.bool))


def untrained_localizer(preset: LocalizerPreset) -> nn.Module:
    """The network of a row, the same each time."""
    torch.manual_seed(preset.seed)
    return build(preset.architecture, preset.arguments)
