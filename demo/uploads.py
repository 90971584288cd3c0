"""Uploaded files on their way to the reader: copied out, read, gone."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn, Protocol

import cspine_zoo as cz

LIMIT_MB: Final = 500
"""Largest upload: a thin-slice neck of 950 slices of 512 x 512, uncompressed. From 512 MB on,
Streamlit's own text beside the uploader would speak of 1 GB."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, or this user's share of it, or the largest file is smaller than that."""

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

    It is readable by this process's user alone, and goes when ``delete`` is called, when nobody
    holds it any more, and at the end of the server.

    Raises:
        CSpineZooError: it cannot be stored, code ``disk_full`` or ``upload_not_stored``; nothing
            of it is left.
    """

    def __init__(self, files: Sequence[Upload]) -> None:
        self._names: dict[str, str] = {}
        try:
            self.root = Path(tempfile.mkdtemp(prefix="cspine-zoo-"))
        except OSError as error:
            _refuse(error)
        self._remove = weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)
        try:
            for number, file in enumerate(files, start=1):
                safe = _safe_name(number, file.name)
                (self.root / safe).write_bytes(file.getbuffer())
                self._names[safe] = file.name
        except OSError as error:
            self.delete()
            _refuse(error)

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


def _refuse(error: OSError) -> NoReturn:
    if error.errno in _NO_ROOM:
        raise cz.CSpineZooError(
            "disk_full",
            "This server's disk has no room for the upload; nothing of it was kept.",
            hint="Try again later, upload a zip of the neck's series alone, or tell whoever runs "
            "this server.",
        ) from None
    raise cz.CSpineZooError(
        "upload_not_stored",
        f"This server could not store the upload ({error.strerror}); nothing of it was kept.",
        hint="Try again, or tell whoever runs this server.",
    ) from None


def _safe_name(number: int, name: str) -> str:
    """A name that cannot leave the directory or clash, with the ending that tells the format."""
    plain = _UNSAFE.sub("_", PurePosixPath(name.replace("\\", "/")).name)[-80:].lstrip(".")
    return f"{number:05d}_{plain or 'file'}"
