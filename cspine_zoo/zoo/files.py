"""Weight files as manifest rows state them: what they are, and where they can be had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_FILENAME: Final = re.compile(r"(?!\.{1,2}$)[^/\\\0]{1,200}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_DRIVE_ID: Final = re.compile(r"[A-Za-z0-9_-]{10,}")


def _require(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{what}, not {value!r}")


def _require_inside(filename: str, place: str) -> None:
    if not filename or filename.startswith("/") or ".." in filename.split("/"):
        raise ValueError(f"filename must stay inside the {place}, not {filename!r}")


@dataclass(frozen=True)
class BundledSource:
    """A file that comes with the package, in its weights directory."""

    kind: Literal["bundled"]
    filename: str
    untried: bool = False

    def __post_init__(self) -> None:
        _require(_FILENAME, self.filename, "filename must be a plain file name")


@dataclass(frozen=True)
class HuggingFaceSource:
    """A file of a Hugging Face repository at one commit.

    A branch name moves and is not found offline once cached, so only a full commit will do.
    """

    kind: Literal["huggingface"]
    repo_id: str
    revision: str
    filename: str
    untried: bool = False

    def __post_init__(self) -> None:
        _require(_REPOSITORY, self.repo_id, "repo_id must be OWNER/NAME")
        _require(_COMMIT, self.revision, "revision must be a commit of 40 hex digits")
        _require_inside(self.filename, "repository")


@dataclass(frozen=True)
class DriveSource:
    """A file that Google Drive shares with anyone: by its identifier, or by name in a folder.

    Attributes:
        file_id: of the file; or
        folder_id: of a folder that holds it, at any depth, and
        filename: its name in there, with the folders between: ``"fold0/best.pth"``.
    """

    kind: Literal["gdrive"]
    file_id: str = ""
    folder_id: str = ""
    filename: str = ""
    untried: bool = False

    def __post_init__(self) -> None:
        if self.folder_id and not self.file_id:
            _require(_DRIVE_ID, self.folder_id, "folder_id must be a Google Drive identifier")
            _require_inside(self.filename, "folder")
        elif self.folder_id or self.filename:
            raise ValueError("give either file_id, or folder_id and filename")
        else:
            _require(_DRIVE_ID, self.file_id, "file_id must be a Google Drive identifier")


@dataclass(frozen=True)
class UrlSource:
    """A file at a plain address."""

    kind: Literal["url"]
    url: str
    untried: bool = False

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise ValueError(f"url must begin with https:// or http://, not {self.url!r}")


Source = BundledSource | HuggingFaceSource | DriveSource | UrlSource


@dataclass(frozen=True)
class WeightFile:
    """One file of a row; its sha256 is what identifies it, wherever it comes from."""

    filename: str
    sha256: str
    size_bytes: int
    sources: tuple[Source, ...]

    def __post_init__(self) -> None:
        _require(_FILENAME, self.filename, "filename must be a plain file name")
        _require(_SHA256, self.sha256, "sha256 must be 64 lower-case hex digits")
        if self.size_bytes <= 0:
            raise ValueError(f"size_bytes must be positive, not {self.size_bytes}")
