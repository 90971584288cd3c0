"""What a process that fetches does, light enough to start many of."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cspine_zoo.errors import DownloadError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.fetch import fetch_file
from cspine_zoo.zoo.files import Source, WeightFile
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.watch import Patience, Watch


@dataclass(frozen=True)
class Errand:
    """One file to fetch onto a shelf."""

    entry: ManifestEntry
    file: WeightFile
    shelf: Shelf

    def run(self, patience: Patience | None = None) -> str:
        """The path of the checked file."""
        return str(fetch_file(self.entry, self.file, self.shelf, Watch(patience=patience)))


def errand(
    entry: ManifestEntry, content: bytes, sources: tuple[Source, ...], shelf: Shelf
) -> Errand:
    sha256 = hashlib.sha256(content).hexdigest()
    return Errand(entry, WeightFile("a.safetensors", sha256, len(content), sources), shelf)


def run(task: Errand, environment: dict[str, str]) -> None:
    """In a process of its own."""
    os.environ.update(environment)
    task.run()


def outcomes(tasks: dict[str, Errand], patience: Patience, at_once: int) -> dict[str, str]:
    """Path or error of each errand."""

    def outcome(task: Errand) -> str:
        try:
            return task.run(patience)
        except DownloadError as error:
            return str(error)

    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(tasks, pool.map(outcome, tasks.values()), strict=True))
