"""Where a file lies until it is known to be right: one transfer of it at a time on a machine."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from cspine_zoo.errors import DownloadError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import WeightFile
from cspine_zoo.zoo.watch import Deadline

INCOMING: Final = ".incoming"
LOCKS: Final = ".locks"

_POLL_SECONDS: Final = 0.05
_SWEEP_SECONDS: Final = 2.0


@contextlib.contextmanager
def staged(shelf: Shelf, file: WeightFile, deadline: Deadline) -> Iterator[Path]:
    """A fresh directory in the cache, for the one transfer of this file that may run now.

    Waits for other processes that fetch the same file. What transfers left behind whose process
    was killed is removed first; those of living processes hold their lock and are left alone.

    Raises:
        DownloadError: the cache cannot be written or has no room, or the wait took too long.
    """
    with contextlib.ExitStack() as stack:
        try:
            guard = _lock(shelf.cache, file.sha256)
            guard.acquire(deadline.left(), _POLL_SECONDS, cancel_check=deadline.cancelled)
            stack.callback(guard.release)
            _sweep(shelf.cache, file.sha256)
            _check_room(shelf.cache, file)
            home = shelf.cache / INCOMING / file.sha256
            home.mkdir(parents=True, exist_ok=True)
            stack.callback(_remove, home)
            directory = Path(tempfile.mkdtemp(dir=home))
        except Timeout:
            deadline.check()
            raise DownloadError("deadline", "Another process has not finished it.") from None
        except OSError as error:
            raise unusable(shelf.cache, error) from error
        yield directory


def unusable(cache: Path, error: OSError) -> DownloadError:
    """The error for a cache that cannot be written."""
    return DownloadError(
        "cache_unusable",
        f"The cache cannot be written: {error.strerror or error}.",
        file=str(cache),
        hint=(
            "Set CSPINE_ZOO_CACHE, or cache_dir, to a directory that can be; one that is only "
            "for reading belongs into CSPINE_ZOO_SHARED_CACHE."
        ),
    )


def full(cache: Path, file: WeightFile) -> DownloadError:
    """The error for a cache without room for a file."""
    return DownloadError(
        "cache_full",
        f"The cache has no room for {file.filename} ({file.size_bytes / 1e6:.1f} MB).",
        file=str(cache),
        hint="Make room there, or set CSPINE_ZOO_CACHE, or cache_dir, to a larger disk.",
    )


def _lock(cache: Path, sha256: str) -> FileLock:
    path = cache / LOCKS / f"{sha256}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, mode=0o666)  # another user of a shared cache takes it too


def _sweep(cache: Path, own: str) -> None:
    """Remove what the dead left; ``own`` is locked by us, the others' locks tell who lives."""
    for home in sorted((cache / INCOMING).glob("*")):
        if home.name == own:
            _remove(home)
            continue
        guard = _lock(cache, home.name)
        with contextlib.suppress(Timeout, PermissionError), guard.acquire(timeout=0):
            _remove(home)


def _remove(home: Path) -> None:
    # The courier of a killed process dies a moment after it, and may write until then.
    end = time.monotonic() + _SWEEP_SECONDS
    while home.exists() and time.monotonic() < end:
        shutil.rmtree(home, ignore_errors=True)
        if home.exists():
            time.sleep(_POLL_SECONDS)


def _check_room(cache: Path, file: WeightFile) -> None:
    if shutil.disk_usage(cache).free < file.size_bytes:
        raise full(cache, file)
