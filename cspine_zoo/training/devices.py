"""How many processes a run has, and in what number format they compute."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from cspine_zoo.errors import CSpineZooError, TrainingStopped, UsageError
from cspine_zoo.inference.precision import BFLOAT16, resolve_precision
from cspine_zoo.zoo.device import resolve_device

_PACKAGE: Final = "cspine_zoo"

_PATIENCE: Final = timedelta(hours=6)
"""How long a process waits for the others: one may still be reading a slow disk."""


@dataclass(frozen=True)
class Devices:
    """What a run computes on.

    Attributes:
        count: devices of this machine; without it those of torchrun, else one.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or the kind of device.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.

    Raises:
        UsageError: there are not so many devices, or torchrun has started another number.
    """

    count: int | None = None
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise UsageError("bad_devices", f"cannot train on {self.count} devices")
        if under_torchrun() and self.count not in (None, _of_torchrun()[0]):
            raise UsageError(
                "bad_devices",
                f"torchrun has started {_of_torchrun()[0]} processes here, not {self.count}.",
                hint="Leave --devices out under torchrun.",
            )
        if self.kind.type == "cuda" and (self.count or 1) > torch.cuda.device_count():
            raise UsageError("bad_devices", f"there are {torch.cuda.device_count()} GPUs here.")

    @property
    def kind(self) -> torch.device:
        """Device of the first process."""
        return resolve_device(self.device)

    @property
    def own(self) -> str:
        """Device of this process, for what each does by itself."""
        kind = self.kind.type
        shared = kind == "cuda" and under_torchrun()
        return f"cuda:{os.environ['LOCAL_RANK']}" if shared else kind

    @property
    def processes(self) -> int:
        """How many there are in all."""
        return _of_torchrun()[1] if under_torchrun() else self.count or 1

    def fabric(self) -> Fabric:
        """Processes and precision for a training loop."""
        if under_torchrun():
            here, everywhere = _of_torchrun()
            return Fabric(
                **self._common(),
                devices=here,
                num_nodes=everywhere // here,
                strategy=DDPStrategy(timeout=_PATIENCE),
                plugins=[TorchElasticEnvironment()],
            )
        if self.processes == 1:
            return self.alone()
        return Fabric(
            **self._common(),
            devices=self.processes,
            strategy=DDPStrategy(start_method="spawn", timeout=_PATIENCE),
            plugins=[LightningEnvironment()],
        )

    def alone(self) -> Fabric:
        """One process, whatever else there is."""
        # A SLURM shell is no reason to look for tasks of SLURM: the environment is named.
        return Fabric(**self._common(), devices=1, plugins=[LightningEnvironment()])

    def _common(self) -> dict[str, Any]:
        fits = resolve_precision(self.precision, self.kind) == BFLOAT16
        return {
            "accelerator": self.kind.type,
            "precision": "bf16-mixed" if fits else "32-true",
        }

    def run(self, task: Callable[..., None], *arguments: object) -> bool:
        """Run ``task(fabric, *arguments)`` in every process.

        Returns:
            Whether this is the process that goes on alone after it.

        Raises:
            CSpineZooError: as the task did.
        """
        fabric = self.fabric()
        level = logging.getLogger(_PACKAGE).getEffectiveLevel()
        call: Callable[..., Any] = _Call(level, task, arguments)
        stopped = fabric.launch(call)
        if stopped is not None:
            raise TrainingStopped(stopped["code"], stopped["reason"], hint=stopped["hint"])
        return is_first()


def under_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return bool(TorchElasticEnvironment.detect())


def is_first() -> bool:
    """Whether this process is the only one, or the first of torchrun's."""
    return int(os.environ.get("RANK", "0")) == 0 if under_torchrun() else True


def _of_torchrun() -> tuple[int, int]:
    """Processes on this machine, and in all."""
    return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])


class _Call:
    """A task with its arguments in one piece: Fabric refuses frozen dataclasses among them.

    Errors of a spawned process arrive as text; ours are to arrive as themselves.
    """

    def __init__(self, level: int, task: Callable[..., None], arguments: tuple[object, ...]):
        self.level, self.task, self.arguments = level, task, arguments

    def __call__(self, fabric: Fabric) -> dict[str, str] | None:
        """Run the task; what comes back is its error."""
        logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s")
        logging.getLogger(_PACKAGE).setLevel(self.level)
        try:
            self.task(fabric, *self.arguments)
        except CSpineZooError as error:
            return error.to_dict()["error"]
        return None
