"""Tensors out of a ``.pth`` file, without running anything that it says.

``torch.load(weights_only=True)`` builds tensors and plain containers and nothing else. What it
refuses is told here by name: a pickle can call any function, so which ones it asks for is what a
person must know before trusting it anywhere else.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.errors import WeightsError
from cspine_zoo.zoo.header import file_sha256, unreadable, what_it_is

_NESTS: Final = ("model_state_dict", "state_dict", "model", "net", "network", "weights")
"""Keys under which training scripts put the state of the network beside that of the optimiser."""

_PREFIXES: Final = ("module.", "model.", "net.", "network.", "_orig_mod.")
"""What ``DataParallel``, wrapper classes and ``torch.compile`` put before every name."""

_MODULE_CLASSES: Final = ("torch.nn.modules.", "torch.nn.parallel.")
_PLAIN: Final = ("collections OrderedDict", "torch._utils _rebuild", "torch ", "_codecs encode")
_LEGACY_PICKLES: Final = 4
"""Before torch 1.6 a file was a row of pickles: magic number, protocol, machine, object."""


@dataclass(frozen=True, eq=False)
class SourceState:
    """The parameters and buffers of somebody's network.

    Attributes:
        tensors: by their names, without the prefixes that all of them share.
        wrapping: the nests and prefixes that were taken off, outermost first.
        sha256: of the file.
    """

    tensors: dict[str, Tensor]
    wrapping: tuple[str, ...]
    sha256: str


def read_state(path: Path) -> SourceState:
    """Read the state dict in a file that ``torch.save`` wrote.

    Raises:
        WeightsError: the file cannot be read or is something else (``not_a_checkpoint``), asks
            for code (``pickle_runs_code``), holds a whole module (``whole_module``), or holds
            no state dict (``no_state_dict``).
    """
    sha256 = file_sha256(path)
    _refuse_compressed(path)
    content = _load(path)
    wrapping: list[str] = []
    tensors = _unwrapped(content, wrapping, path)
    return SourceState(_without_prefixes(tensors, wrapping), tuple(wrapping), sha256)


def _load(path: Path) -> Any:
    # Losses that training scripts store beside the weights are numpy scalars: bytes and a type.
    scalar: Any = np.float64(0).__reduce__()[0]
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    # Bytes of any kind come this way: the reader's errors are of a dozen types.
    except Exception as error:
        asked = sorted({name for name in _globals(path) if not name.startswith(_PLAIN)})
        raise _asks_for_code(path, asked) if asked else _no_checkpoint(path) from error


def _refuse_compressed(path: Path) -> None:
    """``torch.save`` stores members as they are; a compressed one may be of any size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise _no_checkpoint(path)


def _no_checkpoint(path: Path) -> WeightsError:
    with path.open("rb") as stream:
        what = what_it_is(stream.read(512))
    return WeightsError(
        "not_a_checkpoint",
        f"It begins like {what}, but torch.save did not write it, or not to the end.",
        file=str(path),
        hint="Give the .pth file itself, not an archive with it inside; fetch one that is cut "
        "short again.",
    )


def _asks_for_code(path: Path, asked: list[str]) -> WeightsError:
    names = ", ".join(name.replace(" ", ".") for name in asked[:5])
    more = f" and {len(asked) - 5} more" if len(asked) > 5 else ""
    if any(name.startswith(_MODULE_CLASSES) for name in asked):
        return WeightsError(
            "whole_module",
            f"It holds a whole pickled network, with classes to import: {names}{more}.",
            file=str(path),
            hint="Nothing of it was run. Whoever made it can save what is needed, with its own "
            "code: torch.save(model.state_dict(), 'state.pth').",
        )
    return WeightsError(
        "pickle_runs_code",
        f"It is a pickle that asks for more than tensors: {names}{more}.",
        file=str(path),
        hint="Nothing of it was run. Do not load it elsewhere either, unless you trust whoever "
        "made it; ask for safetensors or a plain state dict.",
    )


def _globals(path: Path) -> Iterator[str]:
    """``module name`` of everything that the file's pickle asks for, found without running it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if member.endswith("data.pkl"):
                        with archive.open(member) as stream:
                            yield from _globals_of(stream)
            return
        with path.open("rb") as file:
            for _ in range(_LEGACY_PICKLES):
                yield from _globals_of(file)
    except ValueError:  # no pickle, or none any more: what was found so far is what there is
        return
    except OSError as error:
        raise unreadable(path, error) from error


def _globals_of(stream: IO[bytes]) -> Iterator[str]:
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name in ("GLOBAL", "INST"):
            yield str(argument)
        elif operation.name == "STACK_GLOBAL":
            yield " ".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)


def _unwrapped(content: Any, wrapping: list[str], path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and not _is_state(content):
        nest = next((key for key in _NESTS if isinstance(content.get(key), Mapping)), None)
        if nest is None:
            break
        wrapping.append(nest)
        content = content[nest]
    if isinstance(content, Mapping) and _is_state(content):
        return dict(content)
    found = f"keys {', '.join(map(repr, list(content)[:5]))}" if isinstance(content, dict) else ""
    raise WeightsError(
        "no_state_dict",
        f"It holds no state dict but {found or type(content).__name__}.",
        file=str(path),
        hint=f"Tensors by name are needed, at the top or under {', '.join(_NESTS)}.",
    )


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )


def _without_prefixes(tensors: dict[str, Tensor], wrapping: list[str]) -> dict[str, Tensor]:
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in tensors)), None):
        wrapping.append(prefix)
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
