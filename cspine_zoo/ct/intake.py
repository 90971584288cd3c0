"""From what the caller gave to a stream of files: names and bytes, each opened and read once."""

from __future__ import annotations

import mmap
import os
import resource
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from cspine_zoo.ct.archive import MAX_FILE, Budget, entries
from cspine_zoo.ct.codes import Problem, rejected
from cspine_zoo.ct.elements import Buffer
from cspine_zoo.ct.sniff import HEAD, sniff
from cspine_zoo.errors import UsageError

Source = str | Path | Sequence[str | Path]

_MAPPED_FROM: Final = 64 << 10
"""Larger files are mapped: none of their bytes is copied, and those unread take no memory."""

_DESCRIPTORS_LEFT: Final = 32
"""A mapping holds a descriptor for as long as it lives; this many stay for everything else."""

_READ: Final = ("dicom", "nifti", "gzip")
_CLUTTER: Final = frozenset((".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"))
_LONGEST_NAME: Final = 300
_MARKUP: Final = frozenset("<>[]`")
"""What HTML and Markdown need to turn a name into an element, a link or a picture."""


@dataclass(frozen=True)
class Item:
    """One file of the study, in memory.

    Attributes:
        name: how the caller knows it, made printable.
        kind: ``"dicom"``, ``"nifti"``, ``"gzip"``, or a name for something that is not read.
        data: its bytes; empty if nobody will read them.
    """

    name: str
    kind: str
    data: Buffer


@dataclass(frozen=True)
class Unread:
    """One file of the study that could not be taken in."""

    name: str
    problem: Problem


def printable(name: str) -> str:
    """A name that can be shown anywhere: no control characters, escape sequences or markup."""
    start = name[: _LONGEST_NAME + 1]
    if start.isprintable() and _MARKUP.isdisjoint(start) and len(start) <= _LONGEST_NAME:
        return start
    shown = "".join(
        c if c.isprintable() and c not in _MARKUP else f"\\x{ord(c):02x}" for c in start
    )
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 3]}..."


def describe(source: Source) -> str:
    """The source as the caller gave it, for messages; empty for a list."""
    return printable(str(source)) if isinstance(source, str | Path) else ""


def take_in(source: Source) -> Iterator[Item | Unread]:
    """Every file of a source, in a stable order.

    Args:
        source: a folder (with all below it), a zip, a DICOM or NIfTI file, or a list of such.

    Raises:
        UsageError: the source is of another type.
        StudyRejected: the source cannot be opened, is too large, or is a bad archive.
    """
    paths = [source] if isinstance(source, str | Path) else source
    if not isinstance(paths, Sequence) or not all(isinstance(p, str | Path) for p in paths):
        raise UsageError("bad_source", "a study is a path, or a list of paths")
    budget = Budget()
    for path in paths:
        try:
            yield from _files(Path(path), len(paths) == 1, budget)
        except Problem as problem:
            raise rejected(problem.code, problem.reason, printable(str(path))) from None


def _files(path: Path, alone: bool, budget: Budget) -> Iterator[Item | Unread]:
    try:
        is_folder = path.is_dir()
        if not is_folder and not path.exists():
            raise Problem("not_found", "there is no such file or folder")
    except (OSError, ValueError):  # a name too long for the system, or with a NUL
        raise Problem("not_found", "there is no such file or folder") from None
    if not is_folder:
        yield from _file(path, printable(str(path)), budget, fatal=alone)
        return
    for name in _below(path, budget.files):
        yield from _file(f"{path}/{name}", printable(name), budget)


def _below(path: Path, most: int) -> list[str]:
    """Every file below a folder by its path from there, in a stable order, before one is opened.

    Text, not ``Path``: to take one apart costs more than to open the file.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        below = "" if folder == str(path) else f"{Path(folder).relative_to(path).as_posix()}/"
        found += [f"{below}{name}" for name in sorted(names)]
        if len(found) > most:
            raise Problem("too_many_files", f"more than {most:,} files")
    return found


def _file(
    path: str | Path, name: str, budget: Budget, fatal: bool = False
) -> Iterator[Item | Unread]:
    """One file from disk, or the files in it if it is a zip.

    ``fatal``: it is all there is, so that its problem is the study's.
    """
    budget.count_files()
    if _is_clutter(name):
        yield Unread(name, Problem("clutter", "left behind by an operating system"))
        return
    try:
        with FileIO(path, opener=_open) as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise Problem("special_entry", "a link or device, not a plain file")
            head = stream.read(HEAD)
            kind = sniff(head)
            if kind == "zip":
                yield from _archive(stream, state.st_size, budget, 1)
                return
            if state.st_size > MAX_FILE and kind in _READ:
                large = Problem("too_large", f"the file is larger than {MAX_FILE >> 30} GiB")
                if fatal:
                    raise large
                yield Unread(name, large)
                return
            yield Item(name, kind, _rest(stream, head, kind, state.st_size, budget))
    except OSError:
        problem = Problem("unreadable", "the file cannot be read")
        if fatal:
            raise problem from None
        yield Unread(name, problem)
    except Problem as problem:
        if fatal or problem.code in ("too_many_files", "zip_bomb", "too_large"):
            raise
        yield Unread(name, problem)


def _open(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would wait for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _rest(stream: FileIO, head: bytes, kind: str, size: int, budget: Budget) -> Buffer:
    """All bytes of a file whose first ones were read; nothing more of one that is not needed."""
    if kind not in _READ:
        return b""
    budget.spend(size)
    if size >= _MAPPED_FROM and _descriptor_to_spare(stream.fileno()):
        # Some file systems cannot map, and address space has a limit: then it is copied.
        with suppress(OSError, ValueError):
            return memoryview(mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ))
    view = np.empty(size, np.uint8).data  # bytearray would write zeros first
    view[: len(head)] = head
    filled = len(head)
    while filled < size:
        count = stream.readinto(view[filled:])
        if not count:
            break
        filled += count
    return view[:filled]


def _descriptor_to_spare(descriptor: int) -> bool:
    """Whether enough are left; they are given out from the lowest free one up."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # A mapping keeps a copy, while the file's own number is free again for the next file.
    copy = os.dup(descriptor)
    os.close(copy)
    return limit == resource.RLIM_INFINITY or copy < limit - _DESCRIPTORS_LEFT


def _archive(stream: BinaryIO, size: int, budget: Budget, depth: int) -> Iterator[Item | Unread]:
    for label, content in entries(stream, size, budget):
        shown = printable(label)
        if isinstance(content, Problem):
            yield Unread(shown, content)
        elif _is_clutter(label):
            yield Unread(shown, Problem("clutter", "left behind by an operating system"))
        elif (kind := sniff(content[:HEAD])) != "zip":
            yield Item(shown, kind, content if kind in _READ else b"")
        elif depth == 2:
            yield Unread(shown, Problem("nested_zip", "a zip inside a zip inside a zip"))
        else:
            try:
                yield from _archive(BytesIO(content), len(content), budget, depth + 1)
            except Problem as problem:
                if problem.code != "bad_zip":
                    raise
                yield Unread(shown, problem)


def _is_clutter(name: str) -> bool:
    return not _CLUTTER.isdisjoint(name.split("/"))
