"""Writes the rows of networks without weights into the manifest, and all model cards.

``python -m cspine_zoo.training.unweighted``, after a preset was added or changed.
"""

from __future__ import annotations

from pathlib import Path

from cspine_zoo.resources import manifest_path
from cspine_zoo.training.rows import rows_without_weights
from cspine_zoo.zoo.card import write_cards
from cspine_zoo.zoo.manifest import Manifest, read_manifest, write_manifest


def write_rows(manifest: Path, cards: Path) -> Manifest:
    """Bring a manifest file and the cards beside it up to date with the presets.

    Args:
        manifest: the JSON file.
        cards: directory of the model cards.

    Raises:
        ManifestError: the file is no manifest.
    """
    complete = rows_without_weights(read_manifest(manifest))
    write_manifest(complete, manifest)
    write_cards(cards, complete)
    return complete


if __name__ == "__main__":
    path = manifest_path()
    write_rows(path, path.parent / "docs" / "models")
