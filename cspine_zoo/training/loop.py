"""What every training run shares: schedule, averaged weights, saved state, progress."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cspine_zoo.errors import TrainingStopped

LOG: Final = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Schedule:
    """Optimisation of one run.

    The learning rate warms up over 3 % of the steps, then falls on a cosine to zero.

    Attributes:
        steps: optimiser steps in all.
        learning_rate: its peak.
        weight_decay: of AdamW.
        ema: decay of the averaged weights.
        save_every: steps between two saved states.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    ema: float
    save_every: int = 100

    def rate(self, step: int) -> float:
        """Learning rate of ``step``."""
        warm_up = max(1, round(0.03 * self.steps))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        share = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class Run(Generic[Network]):
    """Network, optimiser, averaged weights and step count, saved together.

    Args:
        network: trained in place.
        schedule: of the optimisation.
        out: directory of the run; ``state.pt`` in it is what a later run resumes from.
    """

    def __init__(self, network: Network, schedule: Schedule, out: Path) -> None:
        self.network, self.schedule, self.out = network, schedule, out
        self.optimizer = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
        )
        self.averaged = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema), use_buffers=True
        )
        self.step = 0

    @property
    def state_file(self) -> Path:
        """Where the run saves itself."""
        return self.out / "state.pt"

    def resume(self) -> None:
        """Go on from the saved state, if there is one."""
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        LOG.info("resumed at step %d of %d", self.step, self.schedule.steps)

    def save(self) -> None:
        """Write the state beside the old one, then replace it."""
        draft = self.state_file.with_suffix(".draft")
        torch.save(
            {
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
            },
            draft,
        )
        draft.replace(self.state_file)

    def fit(
        self, batches: Iterable[tuple[Tensor, ...]], loss_of: Callable[[tuple[Tensor, ...]], Tensor]
    ) -> None:
        """Train over ``batches``, which start at the current step.

        Raises:
            TrainingStopped: the loss is no longer finite.
        """
        started, first, smooth = time.monotonic(), self.step, math.nan
        self.network.train()
        for batch in batches:
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule.rate(self.step)
            loss = loss_of(batch)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingStopped(
                    "diverged",
                    f"the loss became {value} at step {self.step}",
                    hint="Lower the learning rate; --resume goes on from the last saved state.",
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            self.step += 1
            smooth = value if math.isnan(smooth) else 0.95 * smooth + 0.05 * value
            if self.step % 20 == 0:
                pace = (time.monotonic() - started) / (self.step - first)
                left = (self.schedule.steps - self.step) * pace
                LOG.info(
                    "step %d/%d loss %.4f, %.2f s a step, %.0f s left",
                    self.step,
                    self.schedule.steps,
                    smooth,
                    pace,
                    left,
                )
            if self.step % self.schedule.save_every == 0:
                self.save()
            if self.step >= self.schedule.steps:
                break
        self.save()

    def result(self) -> Network:
        """The averaged network, in eval mode."""
        averaged: Network = self.averaged.module  # type: ignore[assignment]
        return averaged.eval()
