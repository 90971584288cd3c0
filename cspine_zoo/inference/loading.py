"""Models by name, by file or as they are: loaded once a process, checked for their task."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

import torch

from cspine_zoo.errors import ManifestError, UsageError
from cspine_zoo.zoo.device import resolve_device
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.locate import find_entry, is_path
from cspine_zoo.zoo.manifest import ManifestEntry, Task
from cspine_zoo.zoo.model import ZooModel

ModelLike = str | os.PathLike[str] | ZooModel
"""A name of the manifest, the path of a ``.safetensors`` file with its row, or a loaded model."""

Network = TypeVar("Network")

Progress = Callable[[str, float], None]
"""Told the stage (``"prepare"``, ``"segment"``, ``"localize"``, ``"classify"``) and the share of it
done."""

_KEPT: Final = 8
_loading = Lock()


def find_model(model: ModelLike, task: Task, device: str | torch.device = "auto") -> ZooModel:
    """The loaded model of one task.

    Args:
        model: name, path, or a model, which stays on the device where it is.
        task: what it must be for.
        device: where to put a model that is loaded by name.

    Raises:
        UsageError: no model has the name (``unknown_model``), it is for another task
            (``wrong_task``), or it is on another device (``wrong_device``).
        WeightsError: its weights cannot be had.
    """
    if isinstance(model, ZooModel):
        _check_task(model.entry, task)
        if device != "auto" and resolve_device(device).type != model.device.type:
            raise UsageError(
                "wrong_device",
                f"The loaded model is on {model.device}, not on {device}.",
                file=model.entry.name,
                hint="Load it with load_model(name, device=...), or leave device to auto.",
            )
        return model
    entry = find_entry(model)
    _check_task(entry, task)
    stamp = Path(model).stat().st_mtime_ns if is_path(model) else 0
    content = tuple(file.sha256 for file in entry.files)
    with _loading:
        return _loaded(os.fspath(model), str(resolve_device(device)), stamp, content)


@lru_cache(maxsize=_KEPT)
def _loaded(name: str, device: str, stamp: int, content: tuple[str, ...]) -> ZooModel:
    """``stamp`` and ``content`` make a file that changed a different key."""
    return load_model(name, device)


def network_of(model: ZooModel, kind: type[Network], cannot: str) -> Network:
    """The network of a model, known to be of one kind.

    Args:
        model: from ``find_model``.
        kind: class of its network.
        cannot: what a network of another kind fails to do, for the error.

    Raises:
        ManifestError: it is of another kind.
    """
    if not isinstance(model.network, kind):
        raise ManifestError(
            "bad_architecture",
            f"{model.entry.architecture.name} {cannot}",
            file=model.entry.name,
        )
    return model.network


def _check_task(entry: ManifestEntry, task: Task) -> None:
    if entry.task != task:
        raise UsageError(
            "wrong_task",
            f"This model is for {entry.task}; {task} is needed here.",
            file=entry.name,
            hint="List the models of a task with: cspine-zoo models --task " + task,
        )
