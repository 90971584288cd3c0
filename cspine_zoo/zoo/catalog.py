"""The list of models, without torch and without a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cspine_zoo.fields import unbuild
from cspine_zoo.zoo.cache import Shelf, is_here
from cspine_zoo.zoo.files import BundledSource, WeightFile
from cspine_zoo.zoo.manifest import Licence, Manifest, ManifestEntry, Metric, Task, read_manifest

Availability = Literal["bundled", "cached", "remote", "none"]


@dataclass(frozen=True)
class ModelRow:
    """One model of the list.

    Attributes:
        size_bytes: of all its files on disk.
        available: ``"bundled"`` with the package, ``"cached"`` by an earlier download,
            ``"remote"`` where a source states it, or ``"none"``.
        segmenter: name of the segmenter that a classifier was trained with.
    """

    name: str
    task: Task
    parameters: int
    size_bytes: int
    available: Availability
    licence: Licence
    metrics: tuple[Metric, ...]
    segmenter: str | None
    files: tuple[WeightFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """The row of ``cspine-zoo models --json``."""
        return unbuild(self)


def list_models(pattern: str = "*", *, task: str | None = None) -> list[ModelRow]:
    """Models of the manifest whose name fits.

    Args:
        pattern: a shell pattern, such as ``"cls-*"``.
        task: one task only: ``"vertebra-segmentation"``, ``"fracture-classification"`` or
            ``"fracture-localization"``.

    Raises:
        UsageError: there is no such task.
        ManifestError: the manifest is not what its schema asks for.
    """
    return model_rows(read_manifest(), Shelf.open(), pattern, task)


def model_rows(
    manifest: Manifest, shelf: Shelf, pattern: str = "*", task: str | None = None
) -> list[ModelRow]:
    """Rows of any manifest, with weights looked for on any shelf."""
    return [
        ModelRow(
            name=entry.name,
            task=entry.task,
            parameters=entry.parameters,
            size_bytes=sum(file.size_bytes for file in entry.files),
            available=availability(entry, shelf),
            licence=entry.licence,
            metrics=entry.metrics,
            segmenter=entry.segmenter,
            files=entry.files,
        )
        for entry in manifest.match(pattern, task)
    ]


def availability(entry: ManifestEntry, shelf: Shelf) -> Availability:
    """Where all of a row's files can be had, by name and size; content is checked on loading."""
    if not entry.files:
        return "none"
    if all(any(is_here(p, f) for p in shelf.bundled_copies(f)) for f in entry.files):
        return "bundled"
    if all(any(is_here(p, f) for p in shelf.cached_copies(entry.name, f)) for f in entry.files):
        return "cached"
    if all(any(not isinstance(s, BundledSource) for s in f.sources) for f in entry.files):
        return "remote"
    return "none"
