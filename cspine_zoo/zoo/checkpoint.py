"""Checkpoints: safetensors files that carry their manifest row."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cspine_zoo.errors import WeightsError
from cspine_zoo.fields import parse_json
from cspine_zoo.zoo.files import WeightFile
from cspine_zoo.zoo.header import ENTRY_KEY, file_sha256, read_header
from cspine_zoo.zoo.manifest import ManifestEntry


def write(network: nn.Module, entry: ManifestEntry, path: Path, half: bool = True) -> ManifestEntry:
    """Write a network with its row into one safetensors file, byte for byte repeatable.

    A file cannot hold its own sha256, so the row inside has no files.

    Args:
        network: on any device; its state is what is stored.
        entry: the row; its files are replaced and its parameters counted.
        path: the file to write; it appears whole or not at all.
        half: store matrices and kernels in float16. Vectors (biases, normalisation) stay
            float32: they weigh nothing, and running variances may not fit.

    Returns:
        The row with this file as its only one, without sources.

    Raises:
        WeightsError: a weight is not finite, or the file cannot be written.
    """
    tensors = {name: _stored(tensor, half) for name, tensor in network.state_dict().items()}
    _check_finite(tensors, path)
    entry = replace(entry, files=(), parameters=_count(network))
    row = json.dumps(entry.to_dict(), sort_keys=True, ensure_ascii=False, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as directory:
            draft = Path(directory) / "draft"
            # One key alone: the library writes several in random order.
            save_file(tensors, draft, metadata={ENTRY_KEY: row})
            # It also makes files that only their owner may read; a package is for everyone.
            draft.chmod(0o644)
            draft.replace(path)
    except OSError as error:
        raise WeightsError("file_unwritable", f"{error.strerror}.", file=str(path)) from error
    return entry.with_files(describe(path))


def describe(path: Path) -> WeightFile:
    """A file on disk as a row states it, without sources."""
    return WeightFile(path.name, file_sha256(path), path.stat().st_size, ())


def load_into(network: nn.Module, path: Path) -> None:
    """Fill a network from a file: every tensor, no other, all finite.

    Numbers stored in half precision become float32.

    Raises:
        WeightsError: the file is damaged or something else, or does not fit the network; says
            which tensors are missing, left over or of another shape.
    """
    said = read_header(path).metadata.get(ENTRY_KEY, "{}")
    try:
        tensors = {name: _widened(tensor) for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise WeightsError("broken_header", f"{error}.", file=str(path)) from error
    _check_fit(network, tensors, path, said)
    _check_finite(tensors, path)
    network.load_state_dict(tensors, strict=True)


def check_parameters(network: nn.Module, entry: ManifestEntry) -> None:
    """Refuse a row that counts other parameters than its architecture has.

    Raises:
        WeightsError: row and architecture do not belong together.
    """
    count = _count(network)
    if count != entry.parameters:
        raise WeightsError(
            "wrong_parameters",
            f"Its row states {entry.parameters} parameters, {entry.architecture.name} with "
            f"these arguments has {count}.",
            file=entry.name,
        )


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _stored(tensor: Tensor, half: bool) -> Tensor:
    stored = tensor.detach().to("cpu", copy=True).contiguous()
    if not half or stored.dtype != torch.float32 or stored.ndim < 2:
        return stored
    smaller = stored.half()
    # Beyond 65504 half precision overflows.
    return smaller if bool(torch.isfinite(smaller).all()) else stored


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _check_finite(tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError("not_finite", f"{name} holds NaN or infinity.", file=str(path))


def _check_fit(network: nn.Module, tensors: dict[str, Tensor], path: Path, said: str) -> None:
    expected = network.state_dict()
    complaints = [
        _some("missing", [name for name in expected if name not in tensors]),
        _some("unexpected", [name for name in tensors if name not in expected]),
        _some(
            "of another shape",
            [
                f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in tensors and tensors[name].shape != tensor.shape
            ],
        ),
    ]
    if any(complaints):
        raise WeightsError(
            "state_dict_mismatch",
            "The weights do not fit the architecture: " + "; ".join(filter(None, complaints)) + ".",
            file=str(path),
            hint=_whose(said, path),
        )


def _whose(said: str, path: Path) -> str:
    """Which model a file's own row says it belongs to; rows come from whoever wrote the file."""
    row = parse_json(said, f"The row in {path.name}")
    name = row.get("name") if isinstance(row, dict) else None
    return f"The row inside the file is of {name!r}." if name else ""


def _some(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what} {', '.join(names[:5])}{more}" if names else ""
