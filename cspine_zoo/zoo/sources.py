"""One thin adapter for each place that delivers files over the network.

An adapter puts what it got at a path, tells how many bytes it has, and raises otherwise; whether
the bytes are right is for ``fetch`` to check. Adapters run in the process of ``courier``, where
deadlines, cancellation and the libraries' own chatter are taken care of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cspine_zoo.errors import DownloadError
from cspine_zoo.zoo.causes import cause_of, status_cause
from cspine_zoo.zoo.files import BundledSource, DriveSource, HuggingFaceSource, Source, UrlSource

HUB: Final = "https://huggingface.co"

Report = Callable[[int], None]
"""Told how many bytes there are by now; zero when the libraries are loaded and asking begins."""

_PIECE: Final = 256 * 1024
_RETRIES: Final = 3
_LOGIN: Final = re.compile(r"://[^/\s]+@")


@dataclass(frozen=True)
class Delivery:
    """One file to fetch.

    Attributes:
        source: where from.
        target: path in a directory that belongs to this transfer.
        timeout: seconds for the server's next word, before the library tries again.
    """

    source: Source
    target: str
    timeout: float


@dataclass(frozen=True)
class Listing:
    """A shared Google Drive folder to list."""

    folder_id: str
    timeout: float


def deliver(job: Delivery, report: Report) -> None:
    """Fetch a file to its target.

    Raises:
        DownloadError: nothing was delivered; says why, in the words of no library.
    """
    source, target = job.source, Path(job.target)
    if isinstance(source, HuggingFaceSource):
        _from_hub(source, target, report)
    elif isinstance(source, DriveSource):
        found = source.file_id or _in_folder(source, job.timeout, report)
        _by_gdown({"id": found}, job, report)
    elif isinstance(source, UrlSource):
        _by_gdown({"url": source.url}, job, report)
    else:
        raise DownloadError("not_remote", "a bundled file is not downloaded", file=source.filename)


def list_folder(job: Listing, report: Report) -> list[tuple[str, str]]:
    """Identifier and path of every file in a Google Drive folder and the folders inside.

    Raises:
        DownloadError: the folder is private, missing or cannot be reached.
    """
    import gdown

    report(0)
    try:
        files: Any = gdown.download_folder(
            id=job.folder_id,
            quiet=True,
            use_cookies=False,
            timeout=job.timeout,
            skip_download=True,
        )
    except Exception as error:
        raise _drive_failed(error) from error
    return [(file.id, Path(file.path).as_posix()) for file in files]


def address(source: Source, hub: str | None = None) -> str:
    """Where a person finds the file; the hub is the one that ``HF_ENDPOINT`` names, or ``hub``.

    A mirror's or a server's login, which may stand in front of its name, is left out.
    """
    if isinstance(source, BundledSource):
        return f"the package's own {source.filename}"
    if isinstance(source, HuggingFaceSource):
        place = f"{source.repo_id}/resolve/{source.revision}/{source.filename}"
        return f"{_LOGIN.sub('://', hub or endpoint())}/{place}"
    if isinstance(source, UrlSource):
        return _LOGIN.sub("://", source.url)
    if source.file_id:
        return f"https://drive.google.com/uc?id={source.file_id}"
    return f"https://drive.google.com/drive/folders/{source.folder_id} ({source.filename})"


def endpoint() -> str:
    """The hub that ``HF_ENDPOINT`` names, asked now: huggingface_hub reads it once, at import."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB


def hub_failed(error: Exception) -> DownloadError:
    """What an error of huggingface_hub means."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        reason = "the repository asks for permission (401 or 403): accept its terms, set HF_TOKEN"
        return DownloadError("gated", reason)
    if isinstance(error, errors.RevisionNotFoundError):
        return DownloadError("not_found", "there is no such revision (404)")
    if isinstance(error, errors.RepositoryNotFoundError):
        reason = "the repository is missing, or private and HF_TOKEN does not open it (401 or 404)"
        return DownloadError("not_found", reason)
    if isinstance(error, OSError) and "Consistency check failed" in str(error):
        return DownloadError("cut", "it sent another number of bytes than it announced")
    return DownloadError(*cause_of(error))


def _from_hub(source: HuggingFaceSource, target: Path, report: Report) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    # 10 MiB, its default, is more than a small model: no progress would ever be seen.
    constants.DOWNLOAD_CHUNK_SIZE = _PIECE
    download = huggingface_hub.hf_hub_download
    report(0)
    try:
        path = download(
            source.repo_id,
            source.filename,
            revision=source.revision,
            local_dir=target.parent / "hub",
            endpoint=endpoint(),
            etag_timeout=constants.HF_HUB_ETAG_TIMEOUT,
            tqdm_class=_bar(report),
        )
        Path(path).replace(target)
    except Exception as error:
        raise hub_failed(error) from error


def _bar(report: Report) -> Any:
    """A progress bar, as huggingface_hub makes them, that only counts."""

    class Bar:
        def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
            self.received = initial

        def update(self, more: float | None = 1) -> None:
            self.received += int(more or 0)
            report(self.received)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    return Bar


def _in_folder(source: DriveSource, timeout: float, report: Report) -> str:
    files = list_folder(Listing(source.folder_id, timeout), report)
    for file_id, path in files:
        if path == source.filename:
            return file_id
    names = ", ".join(path for _, path in files[:5]) or "nothing"
    raise DownloadError("not_found", f"the folder has no {source.filename}; it holds {names}")


def _by_gdown(place: dict[str, Any], job: Delivery, report: Report) -> None:
    """Also for plain addresses: gdown resumes, and knows proxies and authorities."""
    import gdown

    report(0)
    try:
        gdown.download(
            **place,
            output=job.target,
            quiet=True,
            use_cookies=False,
            timeout=job.timeout,
            retries=_RETRIES,
            progress=lambda received, _: report(received),
        )
    except Exception as error:
        raise _drive_failed(error) from error


def _drive_failed(error: Exception) -> DownloadError:
    words = str(error).lower()
    if "too many users" in words:
        reason = "Google Drive's quota for this file is used up; it opens again within a day"
        return DownloadError("quota", reason)
    if "incomplete: received" in words or "did not honor the requested byte range" in words:
        return DownloadError("cut", "the connection was cut")
    if (found := re.search(r"status code (\d{3})", words)) is not None:
        return DownloadError(*status_cause(int(found[1])))
    if "public link" in words:
        # Google answers a private, a missing and a broken file with one and the same page.
        return DownloadError("not_found", "the file is private or missing")
    return DownloadError(*cause_of(error))
