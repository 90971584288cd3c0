"""Whether classifiers can tell fractures without seeing them: python -m benchmarks.shortcuts.

Trains the encoder and a mean-pooling head on synthetic vertebrae, as they are, with their masks
alone, and with their fractures replaced by the whole twin's bone; each is judged on other patients.
The last two must stay at an AUC of at most .6.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.small_classifier import logits, small_preset, trained
from cspine_zoo.synthetic.families import ALL, FIRST, Families
from cspine_zoo.training.recipes import ClassifierPreset
from cspine_zoo.training.records import VertebraRecord
from cspine_zoo.training.shortcuts import mask_only, placebo
from cspine_zoo.training.synthetic_crops import draw_vertebrae

LIMIT = 0.6
_HELD_OUT_SEED = 5_000_000


def auc(
    preset: ClassifierPreset,
    train: list[VertebraRecord],
    test: list[VertebraRecord],
    folder: Path,
) -> float:
    """Train on one set of patients, judge on the other."""
    network = trained(preset, train, folder)
    scores = logits(network, [record.images for record in test], preset)
    return float(roc_auc_score([record.label for record in test], scores))


def main() -> None:
    """Print one line a kind of crop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels of a crop's side")
    parser.add_argument("--families", choices=["first", "all"], default="first")
    options = parser.parse_args()
    families: Families = ALL if options.families == "all" else FIRST
    preset = small_preset(options.size, options.passes)
    small = preset.preprocess
    sets = []
    for first, count in ((0, options.patients), (_HELD_OUT_SEED, options.held_out)):
        drawn = [draw_vertebrae(first + n, small, (), families) for n in range(count)]
        sets.append([record for records in drawn for record in records])
    kinds = {
        "as they are": lambda records: records,
        "masks alone": lambda records: mask_only(records, small.channels),
        "placebo": lambda records: placebo(records, small.channels),
    }
    print(f"{len(sets[0])} vertebrae to learn from, {len(sets[1])} to be judged on")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, change) in enumerate(kinds.items()):
            found = auc(preset, change(sets[0]), change(sets[1]), Path(folder) / str(number))
            spread = 1 / np.sqrt(3 * len(sets[1]))  # standard error of an AUC of .5, about
            verdict = "" if number == 0 or found <= LIMIT else f"  over the limit of {LIMIT}"
            print(f"{name:12} AUC {found:.2f} (standard error about {spread:.2f}){verdict}")


if __name__ == "__main__":
    main()
