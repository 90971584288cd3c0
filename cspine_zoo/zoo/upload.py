"""Putting files into a Hugging Face repository: the adapter of ``publish``, run by the courier."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from cspine_zoo.errors import DownloadError
from cspine_zoo.zoo.causes import cause_of
from cspine_zoo.zoo.sources import Report, endpoint


@dataclass(frozen=True)
class Upload:
    """One commit.

    Attributes:
        repo_id: the repository; made when it is not there.
        private: whether a new one is for its owner only.
        files: paths of files on this machine, kept under their own names.
        texts: names in the repository and what they shall hold.
        message: of the commit.
    """

    repo_id: str
    private: bool
    files: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    message: str


class _Counted(io.FileIO):
    """A file that tells how much of it has been read."""

    def __init__(self, path: str, report: Report) -> None:
        super().__init__(path)
        self._report, self._read = report, 0

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]
        count = super().readinto(buffer)
        self._read += count or 0
        self._report(self._read)
        return count


def upload(job: Upload, report: Report) -> str:
    """Put files and texts into a repository in one commit.

    Returns:
        The commit, 40 hex digits.

    Raises:
        DownloadError: the hub refused or cannot be reached; says why.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    report(0)
    api = HfApi(endpoint=endpoint())
    with contextlib.ExitStack() as stack:
        try:
            operations = [
                CommitOperationAdd(name, text.encode("utf-8")) for name, text in job.texts
            ]
            for path in job.files:
                stream = stack.enter_context(io.BufferedReader(_Counted(path, report)))
                operations.append(CommitOperationAdd(Path(path).name, stream))
            api.create_repo(job.repo_id, private=job.private, exist_ok=True)
            commit = api.create_commit(job.repo_id, operations, commit_message=job.message)
        except Exception as error:
            raise DownloadError(*cause_of(error)) from error
    return str(commit.oid)
