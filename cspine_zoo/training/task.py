"""What every task of training has in common: where it runs, from what, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from cspine_zoo.models.registry import build
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.loop import BatchOf, LossOf, Run, Schedule
from cspine_zoo.training.recipes import CropPreset, SegmenterPreset

Network = TypeVar("Network", bound=nn.Module)


Recipe = SegmenterPreset | CropPreset


@dataclass(frozen=True, kw_only=True)
class Task:
    """One training run, apart from its preset and its data.

    Attributes:
        out: directory of the run; ``network.pt`` in it is what comes out.
        start: weights to begin from.
        resume: go on from the state in ``out``.
        workers: processes that make batches.
    """

    out: Path
    start: dict[str, Tensor] | None = None
    resume: bool = False
    workers: int = 1

    @property
    def result(self) -> Path:
        """State dict of the trained network."""
        return self.out / "network.pt"


def schedule_of(recipe: Recipe, steps: int, learning_rate: float, **shape: float) -> Schedule:
    """The optimisation that a preset asks for.

    Args:
        recipe: the preset.
        steps: optimiser steps in all.
        learning_rate: its peak.
        shape: of the learning rate: ``least_rate`` and ``warm_up``, as ``Schedule`` has them.
    """
    return Schedule(
        steps,
        learning_rate,
        recipe.weight_decay,
        recipe.ema,
        accumulate=recipe.accumulate,
        save_every=recipe.save_every,
        seed=recipe.seed,
        **shape,
    )


def fitted(run: Run[Network], task: Task, batch_of: BatchOf, loss_of: LossOf) -> Run[Network]:
    """The run after its last step, from the beginning or from where it stopped.

    Raises:
        TrainingStopped: the loss is no longer finite.
        UsageError: the saved state is of another run.
    """
    if task.resume:
        run.resume()
    run.fit(batch_of, loss_of, task.workers)
    return run


def untrained(recipe: Recipe) -> nn.Module:
    """The network of a row, the same each time."""
    torch.manual_seed(recipe.seed)
    return build(recipe.architecture, recipe.arguments)


def trained(
    devices: Devices, train: Callable[[Fabric, Any], None], task: Task, recipe: Recipe
) -> nn.Module | None:
    """What a task makes of the network of a row; None in processes that end with it."""
    if not devices.run(train, task):
        return None
    network = untrained(recipe)
    network.load_state_dict(torch.load(task.result, weights_only=True))
    return network.eval()
