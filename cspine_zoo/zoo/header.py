"""The header of a safetensors file, read without torch: keys, sizes, and the row inside."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from cspine_zoo.errors import ManifestError, WeightsError
from cspine_zoo.fields import parse_json

ENTRY_KEY: Final = "cspine_zoo_entry"
"""Metadata key under which a checkpoint carries its manifest row as JSON."""

_MAX_HEADER: Final = 100_000_000
"""The limit of the safetensors library itself (its README, "Format")."""

_ZIP: Final = "a zip archive, such as torch.save writes"
_PICKLE: Final = "a Python pickle"
_HINTS: Final = dict.fromkeys(
    (_ZIP, _PICKLE),
    "Pickles can run code and are never loaded here: ask for safetensors. A source system's .pth "
    "file becomes one by cspine-zoo convert.",
)

# First bytes of what servers, Git and torch.save deliver in place of safetensors.
_IMPOSTORS: Final = (
    (b"version https://git-lfs", "a Git LFS pointer instead of the file itself"),
    (b"PK\x03\x04", _ZIP),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "JSON text, such as a server's error message"),
    *((bytes([0x80, protocol]), _PICKLE) for protocol in range(2, 6)),
)


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself.

    Attributes:
        tensors: names of the tensors, in the order of the header.
        metadata: the free text entries.
    """

    tensors: tuple[str, ...]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file.

    Raises:
        WeightsError: the file cannot be read, is something else (and what), is cut short, has
            a broken header or names a tensor twice.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream, path)
    except OSError as error:
        raise unreadable(path, error) from error


def file_sha256(path: Path) -> str:
    """The sha256 of a file, read in pieces.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> WeightsError:
    """The error for a weights file that is not there or cannot be opened."""
    code = "file_not_found" if isinstance(error, FileNotFoundError) else "file_unreadable"
    return WeightsError(code, f"{error.strerror or error}.", file=str(path))


def _read(stream: BinaryIO, path: Path) -> Header:
    size = os.fstat(stream.fileno()).st_size
    start = stream.read(512)
    length = int.from_bytes(start[:8], "little")
    # The length comes first, so 80 02 00 ... may be a header of 640 bytes as well as a pickle:
    # the brace that must follow decides.
    if start[8:9] != b"{" or length > _MAX_HEADER:
        what = what_it_is(start)
        raise _refused(
            path, "not_safetensors", f"It is {what}, not safetensors.", _HINTS.get(what, "")
        )
    if size < 8 + length:
        raise _truncated(path)
    stream.seek(8)
    content = _parse(stream.read(length), path)
    metadata = content.pop("__metadata__", {})
    end = max((_end(tensor, path) for tensor in content.values()), default=0)
    if size < 8 + length + end:
        raise _truncated(path)
    if size > 8 + length + end:
        raise _refused(path, "broken_header", "It holds bytes that belong to no tensor.")
    if not isinstance(metadata, dict):
        raise _refused(path, "broken_header", "Its metadata is not an object.")
    return Header(tuple(content), {str(key): str(value) for key, value in metadata.items()})


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    try:
        content = parse_json(text.decode("utf-8"), "The header")
    except (ManifestError, UnicodeDecodeError) as error:
        reason = error.reason if isinstance(error, ManifestError) else "Its header is not text."
        raise _refused(path, "broken_header", reason) from error
    if not isinstance(content, dict):
        raise _refused(path, "broken_header", "Its header is not an object.")
    return content


def _end(tensor: Any, path: Path) -> int:
    try:
        return int(tensor["data_offsets"][1])
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise _refused(path, "broken_header", "A tensor has no place in the file.") from error


def what_it_is(start: bytes) -> str:
    """In words, what a file that should hold weights is instead, from its first bytes."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        return "an empty file"
    if text.startswith(b"<"):
        return "an HTML page, such as a sign-in or quota page"
    return next((what for magic, what in _IMPOSTORS if text.startswith(magic)), "something else")


def _truncated(path: Path) -> WeightsError:
    return _refused(path, "truncated", "The file is cut short.")


def _refused(path: Path, code: str, reason: str, hint: str = "") -> WeightsError:
    return WeightsError(code, reason, file=str(path), hint=hint)
