"""Publishing a row's weights on the Hugging Face Hub, and pinning them in the manifest."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from cspine_zoo.errors import DownloadError, UsageError, WeightsError
from cspine_zoo.resources import manifest_path
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.card import hub_card
from cspine_zoo.zoo.fetch import fetch_file, no_weights
from cspine_zoo.zoo.files import HuggingFaceSource, WeightFile
from cspine_zoo.zoo.manifest import ManifestEntry, read_manifest, write_manifest
from cspine_zoo.zoo.transfer import have_done
from cspine_zoo.zoo.upload import Upload
from cspine_zoo.zoo.watch import Watch

ROW_NAME: Final = "manifest_row.json"

_QUIET_SECONDS: Final = 60.0
"""The hub takes longer to take files in than to give them out."""

_UNKNOWN: Final = "0" * 40
"""Stands for a commit that is not made yet."""


def publish(
    name: str,
    repo_id: str,
    *,
    private: bool = False,
    manifest: Path | None = None,
    shelf: Shelf | None = None,
    watch: Watch | None = None,
) -> ManifestEntry:
    """Upload weights, model card and row, fetch them back, and pin the commit in the manifest.

    The token is the one that huggingface_hub finds: ``HF_TOKEN``, or of ``hf auth login``.

    Args:
        name: of the row.
        repo_id: ``OWNER/REPO``; made when it is not there.
        private: whether a new repository is for its owner only.
        manifest: the file to write the source into; without it, the package's own.
        shelf: places where the weights may be; without it, the package's own.
        watch: told how far it is.

    Returns:
        The row as it now stands in the manifest.

    Raises:
        UsageError: there is no such row, or ``repo_id`` is no name of a repository.
        WeightsError: there are no weights, the hub refuses, or it does not give back what it
            was given; then the manifest stays as it was.
    """
    path = manifest or manifest_path()
    shelf, watch = shelf or Shelf.open(), watch or Watch()
    rows = read_manifest(path)
    entry = rows[name]
    if not entry.files:
        raise no_weights(entry)
    _source(repo_id, _UNKNOWN, entry.files[0])
    if shelf.offline:
        hint = "Unset CSPINE_ZOO_OFFLINE and HF_HUB_OFFLINE."
        raise DownloadError("offline", "Publishing needs a network.", file=name, hint=hint)
    copies = [fetch_file(entry, file, shelf, watch) for file in entry.files]
    message = f"{name}, sha256 {entry.files[0].sha256[:12]}"
    job = Upload(repo_id, private, tuple(map(str, copies)), _texts(entry), message)
    commit = _send(entry, job, watch)
    published = entry.with_files(*(_pinned(file, repo_id, commit) for file in entry.files))
    _fetch_back(published, watch)
    write_manifest(rows.with_row(published), path)
    return published


def _texts(entry: ManifestEntry) -> tuple[tuple[str, str], ...]:
    row = json.dumps(entry.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    return (("README.md", hub_card(entry)), (ROW_NAME, row + "\n"))


def _send(entry: ManifestEntry, job: Upload, watch: Watch) -> str:
    try:
        commit = have_done("upload", job, watch.start(), quiet_seconds=_QUIET_SECONDS)
    except DownloadError as error:
        raise WeightsError(
            error.code,
            f"{entry.name} could not be published at {job.repo_id}: {error.reason}.",
            file=entry.name,
            hint="Set HF_TOKEN to a token that may write there; HF_ENDPOINT names another hub.",
        ) from error
    return str(commit)


def _source(repo_id: str, commit: str, file: WeightFile) -> HuggingFaceSource:
    try:
        return HuggingFaceSource("huggingface", repo_id, commit, file.filename)
    except ValueError as error:
        raise UsageError("wrong_repository", f"{error}.", file=repo_id) from error


def _pinned(file: WeightFile, repo_id: str, commit: str) -> WeightFile:
    """The file with this commit as its only source on the hub, after the bundled one."""
    source = _source(repo_id, commit, file)
    others = [known for known in file.sources if not isinstance(known, HuggingFaceSource)]
    place = sum(known.kind == "bundled" for known in others)
    return replace(file, sources=(*others[:place], source, *others[place:]))


def _fetch_back(published: ManifestEntry, watch: Watch) -> None:
    """The manifest states no address that nobody has tried."""
    with tempfile.TemporaryDirectory() as directory:
        empty = Shelf(Path(directory) / "cache", Path(directory) / "bundled", offline=False)
        for file in published.files:
            on_hub = tuple(known for known in file.sources if known.kind == "huggingface")
            fetch_file(published, replace(file, sources=on_hub), empty, watch)
