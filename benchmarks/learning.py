"""Whether a classifier's preset learns: a short run on a few synthetic patients.

``python -m benchmarks.learning [NAME...]`` trains each preset on small crops of a few patients and
prints its loss at the start and at the end beside that of the best constant. Rates are higher than
the presets', nothing is mixed or augmented: the run is to show that gradients reach what they
should, not what the network is worth.
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.training.classification import encoder_features, train_head, untrained_classifier
from cspine_zoo.training.classifier_presets import CLASSIFIERS
from cspine_zoo.training.crop_cache import make_shards
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.end_to_end import EndToEndTask, train_end_to_end
from cspine_zoo.training.recipes import ClassifierPreset, EndToEndPreset, SharedEncoderPreset
from cspine_zoo.training.records import VertebraRecord
from cspine_zoo.training.slice_encoder import EncoderTask, train_encoder
from cspine_zoo.training.synthetic_crops import draw_vertebrae

_CPU = Devices(1, "cpu", "float32")
_SHOWN = 5
"""Steps whose mean is the loss at the start, and at the end."""


@dataclass(frozen=True)
class Few:
    """One shard of the vertebrae of a few patients, each scanned twice."""

    preprocess: Preprocess
    patients: int

    shards = 1

    @property
    def studies(self) -> int:
        """How many there are."""
        return 2 * self.patients

    def records(self, number: int) -> list[VertebraRecord]:
        """Of the one shard."""
        seeds = range(number, number + self.patients)
        return [made for seed in seeds for made in draw_vertebrae(seed, self.preprocess, [])]


@dataclass(frozen=True)
class Result:
    """Loss of a run: at its start, its end, and of the best constant."""

    start: float
    end: float
    constant: float


def run(preset: ClassifierPreset, options: argparse.Namespace, root: Path) -> Result:
    """Train one preset on small crops."""
    small = replace(preset.preprocess, size_px=options.size, n_slices=options.slices)
    source = Few(small, options.patients)
    cache = root / f"crops-{len(small.channels)}"
    if isinstance(preset, EndToEndPreset):
        return _end_to_end(
            replace(
                preset,
                preprocess=small,
                batch=options.batch if preset.architecture == "slice-classifier" else 2,
                accumulate=1,
                learning_rate=options.rate,
                mixup_alpha=0.0,
                shuffled_share=0.0,
                augmented=False,
                ema=0.5,
            ),
            EndToEndTask(preset, source, cache, out=root / preset.name, workers=0),
            options.steps,
        )
    if not isinstance(preset, SharedEncoderPreset):
        raise TypeError(f"{preset.name} is trained in no way that is known here")
    return _shared_encoder(replace(preset, preprocess=small, batch=28), source, cache, root)


def _end_to_end(preset: EndToEndPreset, task: EndToEndTask, steps: int) -> Result:
    a_pass = replace(task, preset=replace(preset, passes=1)).steps
    task = replace(task, preset=replace(preset, passes=max(1, steps // a_pass)))
    _CPU.run(train_end_to_end, task)
    levels, patients = task.batches().shares(task.steps)
    constant = _constant(levels, preset.weights.fractured)
    if preset.arguments.get("patient", "any") != "any":
        constant = (15 * constant + _constant(patients, preset.weights.fractured)) / 16
    return _result(task.out, constant)


def _shared_encoder(preset: SharedEncoderPreset, source: Few, cache: Path, root: Path) -> Result:
    vertebrae = make_shards(cache, source)
    preset = replace(preset, encoder_passes=3, head_passes=100, ema=0.9)
    task = EncoderTask(preset, cache, out=root / "encoder", workers=0)
    _CPU.run(train_encoder, task)
    network = untrained_classifier(preset)
    network.encoder.load_state_dict(torch.load(task.result, weights_only=True))
    features = encoder_features(network.encoder, vertebrae, preset, 1, torch.device("cpu"))
    train_head(_CPU.alone(), preset, network, features, root / preset.name)
    # The vertebra's part is worth 1 and its slices' .5; their share is that of the cache.
    slices = _constant(float(vertebrae.slice_truth.mean()), preset.weights.fractured)
    levels = _constant(float(vertebrae.labels.mean()), preset.weights.fractured)
    return _result(root / preset.name, levels + 0.5 * slices)


def _constant(share: float, weight: float) -> float:
    """Least weighted cross entropy of one answer to everything."""
    heavy, light = weight * share, 1 - share
    if min(heavy, light) <= 0:
        return 0.0
    answer = heavy / (heavy + light)
    return -(answer * math.log(answer) + (1 - answer) * math.log(1 - answer))


def _result(out: Path, constant: float) -> Result:
    with (out / "curve.csv").open(encoding="utf-8", newline="") as stream:
        losses = [float(row[-1]) for row in list(csv.reader(stream))[1:]]
    return Result(float(np.mean(losses[:_SHOWN])), float(np.mean(losses[-_SHOWN:])), constant)


def main() -> None:
    """Print one line a preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [preset.name for preset in CLASSIFIERS]
    parser.add_argument("names", nargs="*", choices=[*names, []], default=names, metavar="NAME")
    parser.add_argument("--patients", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=14)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        for preset in CLASSIFIERS:
            if preset.name in options.names:
                found = run(preset, options, Path(folder))
                print(
                    f"{preset.name}: loss {found.start:.3f} at the start, {found.end:.3f} at the "
                    f"end, {found.constant:.3f} of the best constant",
                    flush=True,
                )


if __name__ == "__main__":
    main()
