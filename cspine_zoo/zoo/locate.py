"""What a model's name stands for: a row of the manifest, or a file with its row inside."""

from __future__ import annotations

import os
from pathlib import Path

from cspine_zoo.errors import WeightsError
from cspine_zoo.fields import parse_json
from cspine_zoo.zoo.header import ENTRY_KEY, read_header
from cspine_zoo.zoo.manifest import ManifestEntry, read_manifest

_FILE_SUFFIXES = {".safetensors", ".pth", ".pt", ".ckpt", ".bin"}


def is_path(name: str | os.PathLike[str]) -> bool:
    """Whether a model's name is meant as a file."""
    if not isinstance(name, str):
        return True
    return os.sep in name or Path(name).suffix.lower() in _FILE_SUFFIXES


def find_entry(name: str | os.PathLike[str]) -> ManifestEntry:
    """The row of a model, by its name or by the path of its ``.safetensors`` file. No torch.

    Raises:
        UsageError: no row has this name; close matches are named.
        WeightsError: the file is not a checkpoint of this package.
    """
    return entry_in_file(Path(name)) if is_path(name) else read_manifest()[str(name)]


def entry_in_file(path: Path) -> ManifestEntry:
    """The row that a checkpoint carries.

    Raises:
        WeightsError: the file is damaged or something else, or carries no row.
        ManifestError: the row inside is not what the schema asks for.
    """
    metadata = read_header(path).metadata
    if ENTRY_KEY not in metadata:
        raise WeightsError(
            "no_entry",
            "The file does not say which model it belongs to.",
            file=str(path),
            hint="Give the model by name and this file as weights=.",
        )
    return ManifestEntry.from_dict(parse_json(metadata[ENTRY_KEY], f"The row in {path.name}"))
