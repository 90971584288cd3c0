"""What a training step costs, and what its data loader adds: python -m benchmarks.training.

The encoder's step on random crops of the shipped size: the network on one batch that is at hand,
then with its loader. Both are timed in the same run, so the ratio holds on a loaded machine too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.loop import Batch, BatchOf, Run, Schedule
from cspine_zoo.training.recipes import SharedEncoderPreset
from cspine_zoo.training.records import MAP_PX, Vertebrae, record, write_shard
from cspine_zoo.training.slice_batches import SliceBatches, loader_processes
from cspine_zoo.training.slice_encoder import EncoderPupil, encoder_loss, untrained_encoder

PAIRS = 21
BUDGET = 1.10


def crops(folder: Path, preset: SharedEncoderPreset) -> Vertebrae:
    """Random crops of the shipped size, broken and whole."""
    rng = np.random.default_rng(1)
    size, slices = preset.preprocess.size_px or 0, preset.preprocess.n_slices or 0
    shape = (slices, len(preset.preprocess.channels), size, size)
    maps = np.zeros((slices, MAP_PX, MAP_PX), np.uint8)
    maps[3:6, 8:12, 8:12] = 255
    truth = np.asarray(maps.any(axis=(1, 2)))
    records = []
    for number in range(PAIRS):
        level, patient = LEVELS[number % 7], str(number // 7)
        images = rng.integers(0, 255, (2, *shape), np.uint8)
        records += [
            record(images[0], 1, level, f"{patient}-a", f"{patient}-b", maps, truth),
            record(images[1], 0, level, f"{patient}-b", f"{patient}-a"),
        ]
    write_shard(folder / "shard-00000", records)
    return Vertebrae(folder)


def seconds_a_step(
    preset: SharedEncoderPreset, batch_of: BatchOf, options: argparse.Namespace, out: Path
) -> float:
    """Wall time of a step once the loader is under way."""
    torch.manual_seed(1)
    pupil = EncoderPupil(untrained_encoder(preset), int(preset.arguments["features"]))
    pupil.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fabric = Devices(1, precision=options.precision).fabric()
    run = Run(fabric, pupil, Schedule(options.steps + 1, 1e-3, 1e-2, 0.99, save_every=10**9), out)
    began = 0.0

    def loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        nonlocal began
        if run.step == 1:  # the first step starts the workers and warms up the kernels
            began = time.perf_counter()
        return encoder_loss(network, batch)

    run.fit(batch_of, loss, loader_processes(options.workers, fabric.device))
    return (time.perf_counter() - began) / int(options.steps)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=LIGHT[0].batch)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    preset = replace(LIGHT[0], batch=options.batch)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        batches = SliceBatches(crops(root / "crops", preset), preset)
        at_hand = batches(0, 0, 1)
        began = time.perf_counter()
        for step in range(4):
            batches(step, 0, 1)
        making = (time.perf_counter() - began) / 4
        alone = seconds_a_step(preset, lambda *_: at_hand, without_workers(options), root / "a")
        loaded = seconds_a_step(preset, batches, options, root / "b")
    loaders = loader_processes(options.workers, Devices(1).kind)
    print(f"batch of {options.batch} slices, {loaders} loader processes")
    print(f"making a batch, by itself      {making:8.3f} s")
    print(f"step, batch at hand            {alone:8.3f} s")
    print(f"step with its loader           {loaded:8.3f} s")
    ratio = loaded / alone
    verdict = "within" if ratio <= BUDGET else "over"
    print(f"ratio                          {ratio:8.3f}   {verdict} the budget of {BUDGET:.2f}")


def without_workers(options: argparse.Namespace) -> argparse.Namespace:
    """The same without loader processes."""
    return argparse.Namespace(**{**vars(options), "workers": 0})


if __name__ == "__main__":
    main()
