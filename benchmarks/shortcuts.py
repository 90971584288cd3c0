"""Whether classifiers can tell fractures without seeing them: python -m benchmarks.shortcuts.

Trains the encoder and a mean-pooling head on synthetic vertebrae, as they are, with their masks
alone, and with their fractures replaced by the whole twin's bone; each is judged on other patients.
The last two must stay at an AUC of at most .6.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from cspine_zoo.synthetic.families import ALL, FIRST, Families
from cspine_zoo.training.classification import encoder_features, train_head, untrained_classifier
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.presets import CLASSIFIERS, ClassifierPreset
from cspine_zoo.training.records import Vertebrae, VertebraRecord, write_shard
from cspine_zoo.training.shortcuts import mask_only, placebo
from cspine_zoo.training.slice_encoder import EncoderTask, train_encoder
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
    for name, records in (("train", train), ("test", test)):
        (folder / name).mkdir(parents=True)
        write_shard(folder / name / "shard-00000", records)
    devices = Devices(1)
    task = EncoderTask(preset, folder / "train", folder / "encoder", workers=0)
    devices.run(train_encoder, task)
    network = untrained_classifier(preset)
    network.encoder.load_state_dict(torch.load(task.result, weights_only=True))
    learnt, judged = (
        encoder_features(network.encoder, Vertebrae(folder / name), preset, 1, devices.kind)
        for name in ("train", "test")
    )
    trained = train_head(devices.alone(), preset, network, learnt, folder / "head")
    with torch.inference_mode():
        logits = trained.score(judged.values[0]).logit
    return float(roc_auc_score(judged.truth.numpy(), logits.numpy()))


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
    small = replace(CLASSIFIERS[0].preprocess, size_px=options.size, n_slices=9)
    preset = replace(
        CLASSIFIERS[0], preprocess=small, encoder_passes=options.passes, batch=32, head_passes=20
    )
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
