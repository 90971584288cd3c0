"""Uploaded files on their way to the reader: copied out, read, gone."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

LIMIT_MB: Final = 600
"""Largest upload: a thin-slice neck of 1,200 slices of 512 x 512, uncompressed, and some room."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Upload(Protocol):
    """What Streamlit hands over for one file."""

    @property
    def name(self) -> str:
        """As the browser sent it; of a folder, with the path inside the folder."""

    def getbuffer(self) -> memoryview:
        """Its bytes."""


class Spool:
    """A private directory that holds one upload until it has been read.

    It is readable by this process's user alone, and goes when ``delete`` is called or the session
    that holds it ends.
    """

    def __init__(self, files: Sequence[Upload]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="cspine-zoo-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)
        self._names: dict[str, str] = {}
        self.size_bytes = 0
        for number, file in enumerate(files, start=1):
            safe = _safe_name(number, file.name)
            data = file.getbuffer()
            (self.root / safe).write_bytes(data)
            self._names[safe] = file.name
            self.size_bytes += len(data)

    @property
    def source(self) -> Path:
        """What ``read_ct`` is given: the one file, or the directory of several."""
        return self.root / next(iter(self._names)) if len(self._names) == 1 else self.root

    @property
    def title(self) -> str:
        """What the uploader calls it; shown to nobody else."""
        if len(self._names) == 1:
            return next(iter(self._names.values()))
        return f"{len(self._names)} files"

    def original(self, file: str) -> str:
        """The uploader's own name for a file that a report names."""
        path = Path(file)
        if path.name in self._names:
            return self._names[path.name]
        if path == self.root:
            return self.title
        return file.replace(f"{self.root}/", "")

    def delete(self) -> None:
        """Remove every byte now."""
        self._remove()


def _safe_name(number: int, name: str) -> str:
    """A name that cannot leave the directory or clash, with the ending that tells the format."""
    plain = _UNSAFE.sub("_", PurePosixPath(name.replace("\\", "/")).name)[-80:].lstrip(".")
    return f"{number:05d}_{plain or 'file'}"
