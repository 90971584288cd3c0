"""Checkpoints in a Google Drive folder that somebody shares: listed, chosen by name, fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cspine_zoo.errors import DownloadError, UsageError
from cspine_zoo.zoo.cache import offline_asked
from cspine_zoo.zoo.files import DriveSource
from cspine_zoo.zoo.sources import Delivery, Listing
from cspine_zoo.zoo.transfer import have_done
from cspine_zoo.zoo.watch import Watch

SYSTEM_1: Final = "1dTxO27AQ2lnnRvcBz5E-hwhhwQ-mM300"
"""The folder that source system 1 publishes its ``.pth`` files in; untried from here."""

_FOLDER: Final = re.compile(
    r"(?:https://drive\.google\.com/drive/\S*folders/)?([\w-]{10,})(?:\?.*)?"
)


@dataclass(frozen=True)
class SharedFile:
    """A file of a shared folder.

    Attributes:
        file_id: Google's name for it.
        path: its own, with the folders between.
    """

    file_id: str
    path: str


def list_files(folder: str, watch: Watch | None = None) -> list[SharedFile]:
    """What a shared folder holds, folders inside included.

    Args:
        folder: its identifier, or its address.
        watch: of the transfer.

    Raises:
        UsageError: ``not_a_folder``.
        DownloadError: the folder is private, missing or cannot be reached, or no request may be
            made.
    """
    identifier = _identifier(folder)
    watch = _online(watch)
    found = have_done("list", Listing(identifier, _seconds(watch)), watch.start())
    return [SharedFile(file_id, path) for file_id, path in found]


def fetch_file(folder: str, name: str, directory: Path, watch: Watch | None = None) -> Path:
    """Fetch one file of a shared folder, without a sum to check it by: nobody states one.

    Args:
        folder: its identifier, or its address.
        name: of the file, with the folders between, or without them where only one is called so.
        directory: to put it in.
        watch: of the transfer.

    Raises:
        UsageError: ``not_a_folder``; ``no_such_file``, with the names that there are.
        DownloadError: it was not delivered.
    """
    watch = _online(watch)
    files = list_files(folder, watch)
    chosen = [file for file in files if name in (file.path, PurePosixPath(file.path).name)]
    if len(chosen) != 1:
        names = ", ".join(file.path for file in chosen or files) or "nothing"
        raise UsageError(
            "no_such_file",
            f"{len(chosen)} files of the folder are called so.",
            file=name,
            hint=f"It holds {names}." if not chosen else f"Give one of {names}.",
        )
    target = directory / PurePosixPath(name).name
    source = DriveSource("gdrive", file_id=chosen[0].file_id, untried=True)
    have_done("deliver", Delivery(source, str(target), _seconds(watch)), watch.start())
    return target


def _identifier(folder: str) -> str:
    found = _FOLDER.fullmatch(folder.strip())
    if found is None:
        raise UsageError(
            "not_a_folder",
            "It is neither the identifier nor the address of a Google Drive folder.",
            file=folder,
            hint="Such an address ends in folders/IDENTIFIER.",
        )
    return found[1]


def _online(watch: Watch | None) -> Watch:
    if offline_asked():
        raise DownloadError(
            "offline",
            "No request may be made.",
            hint="Unset CSPINE_ZOO_OFFLINE and HF_HUB_OFFLINE.",
        )
    return watch or Watch()


def _seconds(watch: Watch) -> float:
    """For the server's next word: half the watch's patience, so that there is time to ask again."""
    return max(watch.patience.quiet_seconds / 2, 0.5)
