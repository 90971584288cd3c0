"""A verified copy of a weight file: from the package, the cache, or the first source that works."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cspine_zoo.errors import DownloadError, WeightsError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import BundledSource, Source, WeightFile
from cspine_zoo.zoo.header import file_sha256, read_header
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.sources import Delivery, address
from cspine_zoo.zoo.staging import full, staged, unusable
from cspine_zoo.zoo.transfer import have_done
from cspine_zoo.zoo.watch import Arrived, Deadline, Watch

# Google Drive refuses popular files for up to a day: it is the mirror, the hub comes first.
_ORDER: Final = ("huggingface", "gdrive", "url")

_log = logging.getLogger(__name__)


def fetch_weights(entry: ManifestEntry, shelf: Shelf, watch: Watch | None = None) -> Path:
    """A copy of the row's weights whose full sha256 was checked just now.

    Raises:
        WeightsError: the row has no weights (``no_weights``); says how to get some.
        DownloadError: no source delivered the right bytes; lists what each one did.
    """
    if not entry.files:
        raise no_weights(entry)
    return fetch_file(entry, entry.files[0], shelf, watch)


def fetch_file(
    entry: ManifestEntry, file: WeightFile, shelf: Shelf, watch: Watch | None = None
) -> Path:
    """A copy of one of the row's files whose full sha256 was checked just now.

    The package's own copy comes first, then the caches, then Hugging Face, Google Drive and
    plain addresses. A cached file with wrong bytes is replaced. Nothing is written, no lock
    taken and no request made where a good copy is here already.

    Raises:
        DownloadError: no source delivered the right bytes; lists what each one did.
        UsageError: the environment asks for an impossible deadline.
    """
    attempts = _Attempts(entry, file, shelf)
    copies = [*shelf.bundled_copies(file), *shelf.cached_copies(entry.name, file)]
    if (found := attempts.local(copies)) is not None:
        return found
    remote = [source for source in file.sources if not isinstance(source, BundledSource)]
    if shelf.offline or not remote:
        attempts.log += [f"{address(source)}: not asked, offline" for source in remote]
        raise attempts.error("offline" if shelf.offline and remote else None)
    deadline = (watch or Watch()).start()
    try:
        with staged(shelf, file, deadline) as directory:
            # Another process may have brought it while this one waited for its turn.
            if (found := attempts.local([shelf.address(entry.name, file)], again=True)) is not None:
                return found
            for source in sorted(remote, key=lambda source: _ORDER.index(source.kind)):
                if (found := attempts.remote(source, directory, deadline)) is not None:
                    return found
    except DownloadError as error:
        raise attempts.stopped(error) from error
    raise attempts.error()


def no_weights(entry: ManifestEntry) -> WeightsError:
    """The error for a row that nobody has published weights for."""
    return WeightsError(
        "no_weights",
        f"{entry.name} has no weights yet.",
        file=entry.name,
        hint=(
            f"Train them (cspine-zoo train {entry.name} --data synthetic --out DIR), convert a "
            f"source system's file (cspine-zoo convert FILE.pth --model {entry.name} --out "
            "FILE.safetensors), fetch a .safetensors file from whoever has one and give its path "
            'as weights=, or ask openly for an untrained network with weights="random".'
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

    def remote(self, source: Source, directory: Path, deadline: Deadline) -> Path | None:
        """Fetch, check, and move into the cache in one step.

        Raises:
            DownloadError: there is no use in trying another source.
        """
        draft = directory / self.file.filename
        place = address(source)

        def tell(received: int) -> None:
            if (progress := deadline.watch.progress) is not None:
                progress(Arrived(self.entry.name, place, received, self.file.size_bytes))

        try:
            seconds = max(deadline.watch.patience.quiet_seconds / 2, 0.5)
            have_done("deliver", Delivery(source, str(draft), seconds), deadline, tell)
        except DownloadError as error:
            if error.code in ("cancelled", "deadline"):
                raise
            if error.code == "disk_full":
                raise full(self.shelf.cache, self.file) from error
            self._note(place, error.reason)
            return None
        if (complaint := self._complaint(draft)) is not None:
            self.wrong_bytes = True
            self._note(place, complaint)
            return None
        tell(self.file.size_bytes)
        return self._keep(draft)

    def _note(self, place: str, what: str) -> None:
        _log.warning("%s: %s: %s", self.entry.name, place, what)
        self.log.append(f"{place}: {what}")

    def _keep(self, draft: Path) -> Path:
        target = self.shelf.address(self.entry.name, self.file)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.chmod(0o644)  # libraries keep it to its owner; a cache may be for many
            return draft.replace(target)
        except OSError as error:
            raise unusable(self.shelf.cache, error) from error

    def _complaint(self, path: Path) -> str | None:
        try:
            found = file_sha256(path)
            if found == self.file.sha256:
                return None
            size = path.stat().st_size
            wrong_size = f" and {size} of {self.file.size_bytes} bytes"
            content = f"wrong content, sha256 {found}" + wrong_size * (size != self.file.size_bytes)
        except WeightsError as error:
            return error.reason
        try:
            read_header(path)
        except WeightsError as error:
            return f"{content}. {error.reason}"
        return content

    def stopped(self, error: DownloadError) -> DownloadError:
        """The same error with what was tried before."""
        return DownloadError(
            error.code,
            error.reason,
            file=error.file or self.entry.name,
            hint=f"{error.hint} {self._by_hand()}".lstrip(" "),
            attempts=self.log,
        )

    def error(self, code: str | None = None) -> DownloadError:
        """One error with every source and what to do by hand."""
        if code is None:
            code = "sha256_mismatch" if self.wrong_bytes else "download_failed"
        return DownloadError(
            code,
            f"No source has the weights of {self.entry.name} ({self.file.filename}).",
            file=self.entry.name,
            attempts=self.log or ["there is no copy on this machine and no source to ask"],
            hint=self._by_hand(),
        )

    def _by_hand(self) -> str:
        sources = " or ".join(
            address(source) for source in self.file.sources if not isinstance(source, BundledSource)
        )
        return (
            f"\nBy hand: get {sources or 'a good copy'}, check that its sha256 is "
            f"{self.file.sha256}, and put it at "
            f"{self.shelf.address(self.entry.name, self.file)}, or give its path as weights=."
        )
