"""Putting a trained network into the package: its file and its row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from cspine_zoo.resources import manifest_path, weights_dir
from cspine_zoo.zoo import checkpoint, golden
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import BundledSource
from cspine_zoo.zoo.load import load_entry
from cspine_zoo.zoo.manifest import ManifestEntry, read_manifest, write_manifest


def bundle(
    network: nn.Module,
    entry: ManifestEntry,
    *,
    weights: Path | None = None,
    manifest: Path | None = None,
) -> ManifestEntry:
    """Write a network as a bundled checkpoint and its row into the manifest.

    The golden output is recorded from the file as it is read back. A row of the same name is
    replaced in place, a new one comes last.

    Args:
        network: the trained network.
        entry: its row; files, parameters and golden are filled in.
        weights: directory of bundled files; without it, the package's own.
        manifest: manifest file; without it, the package's own.

    Returns:
        The row as it now stands in the manifest.

    Raises:
        WeightsError: the network cannot be stored, or does not come back as its row says.
        ManifestError: the manifest with this row would not be valid.
    """
    path = (weights or weights_dir()) / f"{entry.name}.safetensors"
    manifest = manifest or manifest_path()
    read_manifest(manifest).with_row(entry)  # refused before anything is written
    draft = path.with_suffix(".draft")
    try:
        stored = checkpoint.write(network, entry, draft)
        read_back = load_entry(stored, draft, Shelf.open()).network
    finally:
        draft.unlink(missing_ok=True)
    complete = replace(entry, golden=golden.record(read_back, entry))
    row = checkpoint.write(read_back, complete, path)
    source = BundledSource("bundled", path.name)
    row = row.with_files(replace(row.files[0], sources=(source,)))
    write_manifest(read_manifest(manifest).with_row(row), manifest)
    return row
