"""Whether the weights on this machine are whole, and getting them all here at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cspine_zoo.errors import CSpineZooError, UsageError, WeightsError
from cspine_zoo.fields import unbuild
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.fetch import fetch_file, no_weights
from cspine_zoo.zoo.files import WeightFile
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.manifest import Manifest, ManifestEntry, read_manifest
from cspine_zoo.zoo.watch import Watch

Status = Literal["ok", "corrupt", "missing", "wrong_output", "no_weights"]


@dataclass(frozen=True)
class VerifyRow:
    """The state of one model's weights on this machine.

    Attributes:
        status: ``"ok"``; ``"corrupt"`` bytes; ``"missing"`` here, though a source states them;
            ``"wrong_output"`` from the right bytes; ``"no_weights"`` anywhere.
        path: the copy that was checked; empty if there is none.
        detail: what is wrong, and what to do.
    """

    name: str
    status: Status
    path: str = ""
    sha256: str = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the model can be used, or has no weights to be wrong."""
        return self.status in ("ok", "no_weights")

    def to_dict(self) -> dict[str, Any]:
        """The row of ``cspine-zoo verify --json``."""
        return {"name": "", "status": "", "path": "", "sha256": "", "detail": ""} | unbuild(self)


def verify_weights(
    names: Iterable[str] = (),
    *,
    repair: bool = False,
    shelf: Shelf | None = None,
    manifest: Manifest | None = None,
    watch: Watch | None = None,
) -> list[VerifyRow]:
    """Check the full sha256 and the golden output of models' weights.

    Args:
        names: models; without any, all.
        repair: fetch again what is corrupt or missing.
        shelf: places to look at; without it, the package's own.
        manifest: without it, the package's own.
        watch: told how far transfers are.

    Raises:
        UsageError: there is no such model.
    """
    shelf = shelf or Shelf.open()
    return [_verify(entry, shelf, repair, watch) for entry in _chosen(names, manifest)]


def download(
    names: Iterable[str] = (),
    dest: str | os.PathLike[str] | None = None,
    *,
    shelf: Shelf | None = None,
    manifest: Manifest | None = None,
    watch: Watch | None = None,
) -> list[Path]:
    """Get models' weights onto this machine; later loads need no network.

    Args:
        names: models; without any, all that have weights.
        dest: also put copies there. On a machine without network, ``CSPINE_ZOO_CACHE`` may
            name that directory.
        shelf: places to look at; without it, the package's own.
        manifest: without it, the package's own.
        watch: told how far transfers are.

    Returns:
        Paths of the files, checked, in the order of the names.

    Raises:
        UsageError: there is no such model.
        WeightsError: one that was named has no weights, or ``dest`` cannot be written.
        DownloadError: no source delivered one of them.
    """
    shelf = shelf or Shelf.open()
    names = tuple(names)
    paths = []
    for entry in _chosen(names, manifest):
        if names and not entry.files:
            raise no_weights(entry)
        for file in entry.files:
            path = fetch_file(entry, file, shelf, watch)
            paths.append(path if dest is None else _copy(path, file, Path(dest)))
    return paths


def _chosen(names: Iterable[str], manifest: Manifest | None) -> list[ManifestEntry]:
    if isinstance(names, str):
        raise UsageError("not_a_list", "names is a list of names.", hint=f"Give [{names!r}].")
    manifest = manifest or read_manifest()
    return [manifest[name] for name in names] or list(manifest)


def _verify(entry: ManifestEntry, shelf: Shelf, repair: bool, watch: Watch | None) -> VerifyRow:
    if not entry.files:
        return VerifyRow(entry.name, "no_weights", detail=str(no_weights(entry)))
    row = VerifyRow(entry.name, "ok")
    for file in entry.files:
        row = _check_copies(entry.name, file, shelf)
        if not row.ok and repair:
            row = _repaired(entry, file, shelf, row, watch)
        if not row.ok:
            return row
    return _check_output(entry, shelf, row)


def _check_copies(name: str, file: WeightFile, shelf: Shelf) -> VerifyRow:
    copies = [*shelf.bundled_copies(file), *shelf.cached_copies(name, file)]
    row = VerifyRow(name, "missing", detail=f"{file.filename} is not on this machine.")
    for path in filter(Path.is_file, copies):
        found = file_sha256(path)
        if found == file.sha256:
            return VerifyRow(name, "ok", str(path), found)
        if row.status == "missing":
            detail = f"The sha256 should be {file.sha256}."
            row = VerifyRow(name, "corrupt", str(path), found, detail)
    return row


def _repaired(
    entry: ManifestEntry, file: WeightFile, shelf: Shelf, row: VerifyRow, watch: Watch | None
) -> VerifyRow:
    try:
        path = fetch_file(entry, file, shelf, watch)
    except WeightsError as error:
        return replace(row, detail=str(error))
    return VerifyRow(entry.name, "ok", str(path), file.sha256, detail="Fetched again.")


def _check_output(entry: ManifestEntry, shelf: Shelf, row: VerifyRow) -> VerifyRow:
    from cspine_zoo.zoo import golden, load  # torch takes seconds; a listing of files needs none

    try:
        golden.check(load.load_entry(entry, None, shelf))
    except CSpineZooError as error:
        return replace(row, status="wrong_output", detail=str(error))
    return row


def _copy(path: Path, file: WeightFile, directory: Path) -> Path:
    target = directory / file.filename
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".copying-", dir=directory) as staging:
            draft = Path(shutil.copyfile(path, Path(staging) / file.filename))
            draft.replace(target)
    except OSError as error:
        raise WeightsError("file_unwritable", f"{error.strerror}.", file=str(target)) from error
    return target
