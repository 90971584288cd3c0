"""A verified copy of a weight file: from the package, the cache, or the first source that works."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from filelock import FileLock

from cspine_zoo.errors import DownloadError, WeightsError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import BundledSource, Source, WeightFile
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.sources import address, deliver

# Google Drive refuses popular files for up to a day: it is the mirror, the hub comes first.
_ORDER: Final = ("huggingface", "gdrive", "url")


def fetch_weights(entry: ManifestEntry, shelf: Shelf) -> Path:
    """A copy of the row's weights whose full sha256 was checked just now.

    Raises:
        WeightsError: the row has no weights (``no_weights``); says how to get some.
        DownloadError: no source delivered the right bytes; lists what each one did.
    """
    if not entry.files:
        raise no_weights(entry)
    return fetch_file(entry, entry.files[0], shelf)


def fetch_file(entry: ManifestEntry, file: WeightFile, shelf: Shelf) -> Path:
    """A copy of one of the row's files whose full sha256 was checked just now.

    The package's own copy comes first, then the cache, then Hugging Face, Google Drive and
    plain addresses. A cached file with wrong bytes is replaced.

    Raises:
        DownloadError: no source delivered the right bytes; lists what each one did.
    """
    attempts = _Attempts(entry, file, shelf)
    if (found := attempts.local(shelf.bundled_copies(file))) is not None:
        return found
    if (found := attempts.local(shelf.cached_copies(entry.name, file))) is not None:
        return found
    remote = [source for source in file.sources if not isinstance(source, BundledSource)]
    if shelf.offline or not remote:
        attempts.log += [f"{address(source)}: not asked, offline" for source in remote]
        raise attempts.error("offline" if shelf.offline and remote else None)
    with _locked(shelf, file):
        # Another process may have brought it while this one waited for the lock.
        if (found := attempts.local([shelf.address(entry.name, file)], again=True)) is not None:
            return found
        for source in sorted(remote, key=lambda source: _ORDER.index(source.kind)):
            if (found := attempts.remote(source)) is not None:
                return found
    raise attempts.error()


def no_weights(entry: ManifestEntry) -> WeightsError:
    """The error for a row that nobody has published weights for."""
    return WeightsError(
        "no_weights",
        f"{entry.name} has no weights yet.",
        file=entry.name,
        hint=(
            f"Train them (cspine-zoo train {entry.name} --data synthetic --out DIR), fetch "
            "a .safetensors file from whoever has one and give its path as weights=, or ask "
            'openly for an untrained network with weights="random".'
        ),
    )


@dataclass
class _Attempts:
    """What was tried for one file, for the one error that tells it all."""

    entry: ManifestEntry
    file: WeightFile
    shelf: Shelf
    log: list[str] = field(default_factory=list)
    wrong_bytes: bool = False

    def local(self, copies: list[Path], again: bool = False) -> Path | None:
        """The first copy with the right bytes; wrong ones are put down in the log."""
        for path in copies:
            if not path.is_file():
                continue
            if (complaint := self._complaint(path)) is None:
                return path
            if not again:
                self.wrong_bytes = True
                self.log.append(f"{path}: {complaint}")
        return None

    def remote(self, source: Source) -> Path | None:
        """Fetch, check, and move into the cache in one step."""
        target = self.shelf.address(self.entry.name, self.file)
        try:
            with _staging(target) as staging:
                deliver(source, staging / self.file.filename)
                complaint = self._complaint(staging / self.file.filename)
                if complaint is None:
                    (staging / self.file.filename).replace(target)
                    return target
        except DownloadError as error:
            self.log.append(f"{address(source)}: {error.reason}")
            return None
        except OSError as error:
            raise _cache_unusable(self.shelf.cache, error) from error
        self.wrong_bytes = True
        self.log.append(f"{address(source)}: {complaint}")
        return None

    def _complaint(self, path: Path) -> str | None:
        try:
            found = file_sha256(path)
        except WeightsError as error:
            return error.reason
        if found == self.file.sha256:
            return None
        size = path.stat().st_size
        wrong_size = f" and {size} of {self.file.size_bytes} bytes"
        return f"wrong content, sha256 {found}" + wrong_size * (size != self.file.size_bytes)

    def error(self, code: str | None = None) -> DownloadError:
        """One error with every source and what to do by hand."""
        if code is None:
            code = "sha256_mismatch" if self.wrong_bytes else "download_failed"
        sources = " or ".join(
            address(source) for source in self.file.sources if not isinstance(source, BundledSource)
        )
        return DownloadError(
            code,
            f"No source has the weights of {self.entry.name} ({self.file.filename}).",
            file=self.entry.name,
            attempts=self.log or ["there is no copy on this machine and no source to ask"],
            hint=(
                f"\nBy hand: get {sources or 'a good copy'}, check that its sha256 is "
                f"{self.file.sha256}, and put it at "
                f"{self.shelf.address(self.entry.name, self.file)}, or give its path as weights=."
            ),
        )


@contextlib.contextmanager
def _locked(shelf: Shelf, file: WeightFile) -> Iterator[None]:
    lock = shelf.cache / ".locks" / f"{file.sha256}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        guard = FileLock(lock)
        guard.acquire()
    except OSError as error:
        raise _cache_unusable(shelf.cache, error) from error
    try:
        yield
    finally:
        guard.release()


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A fresh directory beside ``target``; what a killed transfer left behind is cleared."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for orphan in target.parent.glob(".incoming-*"):
        shutil.rmtree(orphan, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target.parent) as directory:
        yield Path(directory)


def _cache_unusable(cache: Path, error: OSError) -> DownloadError:
    return DownloadError(
        "cache_unusable",
        f"The cache cannot be written: {error.strerror or error}.",
        file=str(cache),
        hint="Set CSPINE_ZOO_CACHE, or cache_dir, to a directory that can be.",
    )
