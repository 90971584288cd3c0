"""What every training run shares: schedule, averaged weights, saved state, progress."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from cspine_zoo.errors import TrainingStopped, UsageError
from cspine_zoo.training.depthwise import depthwise_in_float32

LOG: Final = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

Batch = tuple[Tensor, ...]

BatchOf = Callable[[int, int, int], Batch]
"""From step, part and number of parts to that part of the step's batch. What comes out depends on
these three alone, so that a resumed run sees what the first would have seen."""

LossOf = Callable[[nn.Module, Batch], Tensor]
"""Loss of a batch; the network is called as a whole, for its processes to notice."""

_PREFETCHED: Final = 4
_LOGGED_EVERY: Final = 20


@dataclass(frozen=True)
class Schedule:
    """Optimisation of one run.

    The learning rate warms up, then falls on a cosine.

    Attributes:
        steps: optimiser steps in all.
        learning_rate: its peak.
        weight_decay: of AdamW.
        ema: decay of the averaged weights.
        accumulate: parts of a step's batch that one process takes one after another.
        clip_norm: largest norm of the gradients.
        save_every: steps between two saved states.
        seed: of dropout.
        least_rate: learning rate that the cosine ends in.
        warm_up: share of the steps.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    ema: float
    accumulate: int = 1
    clip_norm: float = 5.0
    save_every: int = 100
    seed: int = 0
    least_rate: float = 0.0
    warm_up: float = 0.03

    def rate(self, step: int) -> float:
        """Learning rate of ``step``."""
        warm_up = max(1, round(self.warm_up * self.steps))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        share = (step - warm_up) / max(1, self.steps - warm_up)
        fall = self.learning_rate - self.least_rate
        return self.least_rate + fall * 0.5 * (1 + math.cos(math.pi * share))


class Parts(Dataset[Batch]):
    """The parts of a run's batches that fall to one process, in order."""

    def __init__(self, batch_of: BatchOf, steps: range, parts: range, of: int) -> None:
        self.batch_of, self.steps, self.parts, self.of = batch_of, steps, parts, of

    def __len__(self) -> int:
        return len(self.steps) * len(self.parts)

    def __getitem__(self, index: int) -> Batch:
        step, part = divmod(index, len(self.parts))
        return self.batch_of(self.steps[step], self.parts[part], self.of)


class Run(Generic[Network]):
    """Network, optimiser, averaged weights and step count, saved together.

    Args:
        fabric: processes and precision.
        network: trained in place.
        schedule: of the optimisation.
        out: directory of the run; ``state.pt`` in it is what a later run resumes from, and
            ``curve.csv`` its loss at every step.
    """

    def __init__(self, fabric: Fabric, network: Network, schedule: Schedule, out: Path) -> None:
        self.fabric, self.network, self.schedule, self.out = fabric, network, schedule, out
        self.optimizer = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
        )
        self.averaged = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema), use_buffers=True
        ).to(fabric.device)
        if fabric.device.type == "cpu":
            depthwise_in_float32(network)
        self.distributed, self.stepper = fabric.setup(network, self.optimizer)
        self.losses: list[float] = []

    @property
    def step(self) -> int:
        """Steps that are done."""
        return len(self.losses)

    @property
    def state_file(self) -> Path:
        """Where the run saves itself."""
        return self.out / "state.pt"

    def resume(self) -> None:
        """Go on from the saved state, if there is one.

        Raises:
            UsageError: the state is of a run with another schedule.
        """
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        if state["schedule"] != repr(self.schedule):
            raise UsageError(
                "other_run",
                "the saved state is of a run with another schedule.",
                file=self.state_file.name,
                hint="Train into another directory, or leave --resume out.",
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses = state["losses"].tolist()
        LOG.info("resumed at step %d of %d", self.step, self.schedule.steps)

    def save(self) -> None:
        """Write the state beside the old one, then replace it."""
        if not self.fabric.is_global_zero:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        rows = [f"{n},{self.schedule.rate(n):.6g},{loss!r}" for n, loss in enumerate(self.losses)]
        text = "\n".join(["step,learning_rate,loss", *rows, ""])
        (self.out / "curve.csv").write_text(text, encoding="utf-8")
        draft = self.state_file.with_suffix(".draft")
        torch.save(
            {
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "losses": torch.tensor(self.losses, dtype=torch.float64),
                "schedule": repr(self.schedule),
            },
            draft,
        )
        draft.replace(self.state_file)

    def fit(self, batch_of: BatchOf, loss_of: LossOf, workers: int = 0) -> None:
        """Train from the current step to the last.

        Args:
            batch_of: makes the batches.
            loss_of: judges them.
            workers: processes that make batches ahead of the network; 0 makes them in between.

        Raises:
            TrainingStopped: the loss or its gradients are no longer finite.
        """
        self.network.train()
        batches = self._batches(batch_of, workers)
        began, first = time.monotonic(), self.step
        while self.step < self.schedule.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule.rate(self.step)
            loss = self._backward(batches, loss_of)
            norm = self.fabric.clip_gradients(
                self.distributed,
                self.stepper,
                max_norm=self.schedule.clip_norm,
                error_if_nonfinite=False,
            )
            self._require_finite(loss, norm)
            self.stepper.step()
            self.stepper.zero_grad(set_to_none=True)
            self.averaged.update_parameters(self.network)
            self.losses.append(loss)
            self._log(began, first)
            if self.step % self.schedule.save_every == 0:
                self.save()
        self.save()

    def result(self) -> Network:
        """The averaged network, in eval mode."""
        averaged: Network = self.averaged.module  # type: ignore[assignment]
        return averaged.eval()

    def _batches(self, batch_of: BatchOf, workers: int) -> Iterator[Batch]:
        processes, rank = self.fabric.world_size, self.fabric.global_rank
        of = processes * self.schedule.accumulate
        parts = Parts(
            batch_of, range(self.step, self.schedule.steps), range(rank, of, processes), of
        )
        return iter(
            DataLoader(
                parts,
                batch_size=None,
                num_workers=workers,
                prefetch_factor=_PREFETCHED if workers else None,
                pin_memory=self.fabric.device.type == "cuda",
            )
        )

    def _backward(self, batches: Iterator[Batch], loss_of: LossOf) -> float:
        """Gradients of one step; returns its loss over all processes."""
        parts = self.schedule.accumulate
        total = torch.zeros((), device=self.fabric.device)
        for part in range(parts):
            number = part * self.fabric.world_size + self.fabric.global_rank
            # What dropout leaves out follows from the step, not from what was drawn before it.
            torch.manual_seed((self.schedule.seed * 1_000_003 + self.step) * 1_009 + number)
            batch = self.fabric.to_device(next(batches))
            with self.fabric.no_backward_sync(self.distributed, enabled=part + 1 < parts):
                loss = loss_of(self.distributed, tuple(batch)) / parts
                self.fabric.backward(loss)
            total += loss.detach()
        return float(self.fabric.all_reduce(total, reduce_op="mean"))  # type: ignore[arg-type]

    def _require_finite(self, loss: float, norm: Tensor | None) -> None:
        """Loss and norm are those of all processes: they stop together."""
        value = loss if norm is None or not math.isfinite(loss) else float(norm)
        if not math.isfinite(value):
            what = "loss" if value is loss else "norm of the gradients"
            raise TrainingStopped(
                "diverged",
                f"the {what} became {value} at step {self.step}",
                hint="Lower the learning rate; --resume goes on from the last saved state.",
            )

    def _log(self, began: float, first: int) -> None:
        if self.step % _LOGGED_EVERY or not self.fabric.is_global_zero:
            return
        pace = (time.monotonic() - began) / (self.step - first)
        recent = self.losses[-5 * _LOGGED_EVERY :]
        LOG.info(
            "step %d/%d loss %.4f, %.2f s a step, %s left",
            self.step,
            self.schedule.steps,
            sum(recent) / len(recent),
            pace,
            _clock((self.schedule.steps - self.step) * pace),
        )


def part_size(batch: int, parts: int) -> int:
    """Samples of a part of a batch.

    Raises:
        UsageError: the parts would differ in size.
    """
    if batch % parts:
        raise UsageError(
            "uneven_batch",
            f"a batch of {batch} cannot be shared by {parts}.",
            hint="Devices times accumulated parts must divide the batch.",
        )
    return batch // parts


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def write_weights(weights: dict[str, Any], path: Path) -> None:
    """Write a state dict; a file that is there is whole."""
    draft = path.with_suffix(".draft")
    torch.save({name: tensor.cpu() for name, tensor in weights.items()}, draft)
    draft.replace(path)
