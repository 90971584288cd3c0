"""One thin adapter for each place that delivers files over the network.

An adapter puts what it got at a path and raises DownloadError otherwise; whether the bytes are
right is for ``fetch`` to check. The libraries are imported when they are needed: they are slow.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Final

from cspine_zoo.errors import DownloadError
from cspine_zoo.zoo.files import BundledSource, DriveSource, HuggingFaceSource, Source, UrlSource

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 60.0

HUB: Final = "https://huggingface.co"


def deliver(source: Source, target: Path) -> None:
    """Fetch from a source into ``target``, in a directory that belongs to this transfer.

    Raises:
        DownloadError: nothing was delivered; says why, in the words of no library.
    """
    if isinstance(source, HuggingFaceSource):
        _from_hub(source, target)
    elif isinstance(source, DriveSource):
        _from_drive(source, target)
    elif isinstance(source, UrlSource):
        _from_url(source, target)
    else:
        raise DownloadError("not_remote", "A bundled file is not downloaded.", file=source.filename)


def address(source: Source, hub: str | None = None) -> str:
    """Where a person finds the file; the hub is the one that ``HF_ENDPOINT`` names, or ``hub``."""
    if isinstance(source, BundledSource):
        return f"the package's own {source.filename}"
    if isinstance(source, HuggingFaceSource):
        return f"{hub or _endpoint()}/{source.repo_id}/resolve/{source.revision}/{source.filename}"
    if isinstance(source, DriveSource):
        return f"https://drive.google.com/uc?id={source.file_id}"
    return source.url


def _endpoint() -> str:
    # huggingface_hub reads it once, at import; asked here, it can be changed at any time.
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB


def _from_hub(source: HuggingFaceSource, target: Path) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        path = huggingface_hub.hf_hub_download(
            source.repo_id,
            source.filename,
            revision=source.revision,
            local_dir=target.parent / "hub",
            endpoint=_endpoint(),
            etag_timeout=CONNECT_SECONDS,
        )
        Path(path).replace(target)
    except errors.GatedRepoError as error:
        raise _failed("gated", "the repository asks for permission (401 or 403)") from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    ) as error:
        # LocalEntryNotFoundError is an EntryNotFoundError by name only: the hub was not reached.
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _failed("unreachable", "the hub cannot be reached") from error
        raise _failed("not_found", "there is no such file (404)") from error
    # The transport was requests, then httpx, now httpx2: its errors are known by no stable name.
    except Exception as error:
        raise _failed("transfer_failed", _words(error)) from error


def _from_drive(source: DriveSource, target: Path) -> None:
    import gdown

    try:
        gdown.download(
            id=source.file_id,
            output=str(target),
            quiet=True,
            use_cookies=False,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            retries=2,
        )
    # gdown lets requests' errors, its own and AssertionError through.
    except Exception as error:
        words = _words(error)
        if "too many users" in words.lower():
            raise _failed("quota", "Google Drive's quota for this file is used up") from error
        if "public link" in words.lower():
            # Google answers a private, a missing and a broken file with one and the same page.
            raise _failed("not_found", "the file is private or missing") from error
        raise _failed("transfer_failed", words) from error


def _from_url(source: UrlSource, target: Path) -> None:
    request = urllib.request.Request(source.url, headers={"User-Agent": "cspine_zoo"})
    try:
        with (
            urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as answer,
            target.open("wb") as stream,
        ):
            shutil.copyfileobj(answer, stream)
    except urllib.error.HTTPError as error:
        code = "not_found" if error.code == 404 else "transfer_failed"
        raise _failed(code, f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _failed("unreachable", f"the server cannot be reached: {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _failed("transfer_failed", _words(error)) from error


def _failed(code: str, reason: str) -> DownloadError:
    return DownloadError(code, reason)


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
