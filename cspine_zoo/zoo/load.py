"""From a name to a model that is ready to run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from cspine_zoo.models.registry import build
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.checkpoint import check_parameters, describe, load_into
from cspine_zoo.zoo.device import resolve_device
from cspine_zoo.zoo.fetch import fetch_weights
from cspine_zoo.zoo.locate import find_entry, is_path
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.model import ZooModel
from cspine_zoo.zoo.watch import Progress, Watch

RANDOM: Final = "random"

_log = logging.getLogger(__name__)


def load_model(
    name: str | os.PathLike[str],
    device: str | torch.device = "auto",
    weights: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> ZooModel:
    """Load a model with checked weights, ready for inference.

    The full sha256 is checked every time, every tensor must fit and be finite. There are no
    random weights unless they are asked for.

    Args:
        name: a row of the manifest, or the path of a ``.safetensors`` file that carries its row.
        device: ``"auto"`` (CUDA, then MPS, then CPU), or torch's name of one.
        weights: a file to load in place of the row's own; ``"random"`` for an untrained network.
        cache_dir: where downloaded weights are kept; without it ``CSPINE_ZOO_CACHE``, else the
            user's cache directory.
        offline: make no request; without it ``CSPINE_ZOO_OFFLINE`` or ``HF_HUB_OFFLINE``.
        progress: told several times a second how far a download is; what it raises stops it.

    Raises:
        UsageError: there is no such model or device.
        WeightsError: the row has no weights, or the file is damaged, something else, or of
            another model.
        DownloadError: no source delivered the weights; lists what each one did.
    """
    target = resolve_device(device)
    entry = find_entry(name)
    if weights is None and is_path(name):
        weights = name
    shelf = Shelf.open(cache_dir, offline)
    return load_entry(entry, weights, shelf, Watch(progress)).to(target)


def load_entry(
    entry: ManifestEntry,
    weights: str | os.PathLike[str] | None,
    shelf: Shelf,
    watch: Watch | None = None,
) -> ZooModel:
    """Load a row's model on the CPU; ``weights`` as in ``load_model``.

    Raises:
        WeightsError: as ``load_model`` does.
    """
    if weights == RANDOM:
        return _untrained(entry)
    if weights is None:
        path = fetch_weights(entry, shelf, watch)
        file = entry.files[0]
    else:
        path = Path(weights)
        file = describe(path)
        if file.sha256 not in {known.sha256 for known in entry.files}:
            _log.info("%s: weights from %s, sha256 %s", entry.name, path, file.sha256)
            entry = entry.with_files(file)
    with _Unfilled():
        network = build(entry.architecture.name, entry.architecture.arguments)
    check_parameters(network, entry)
    load_into(network, path)
    return ZooModel(network, entry, file.sha256)


class _Unfilled(TorchFunctionMode):
    """Networks built in here get no random numbers: loading is strict and replaces them all.

    Drawing them took longer than checking and loading the weights. Lightning Fabric's
    ``init_module(empty_init=True)`` does the same.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _untrained(entry: ManifestEntry) -> ZooModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random, but the same each time
        network = build(entry.architecture.name, entry.architecture.arguments)
    return ZooModel(network, entry, RANDOM)
