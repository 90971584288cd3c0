"""Whether the presets of segmenters and localizers learn: short runs on a little synthetic CT.

``python -m benchmarks.learning_masks [NAME...]`` trains each preset's own network, with its own
loss, on a few small windows (localizers: on the slices of one patient) and prints the loss at the
start and at the end beside that of the best constant answer. Rates are higher than the presets':
the run is to show that gradients reach what they should, not what the network is worth.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.patches import Patch, PatchPreset, draw_patch
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.localization import LocalizerTask, region_loss, train_localizer
from cspine_zoo.training.localizer_presets import LOCALIZERS
from cspine_zoo.training.presets import preset_named
from cspine_zoo.training.recipes import LocalizerPreset, SegmenterPreset
from cspine_zoo.training.records import Vertebrae, write_shard
from cspine_zoo.training.segmentation import (
    PatchBatches,
    SegmenterTask,
    independent_loss,
    segmentation_loss,
    train_segmenter,
)
from cspine_zoo.training.segmenter_presets import SEGMENTERS
from cspine_zoo.training.slice_batches import SliceBatches
from cspine_zoo.training.synthetic_crops import draw_vertebrae

_CPU = Devices(1, "cpu", "float32")
_SHOWN = 5
"""Steps whose mean is the loss at the start, and at the end."""

_SOLID = PatchPreset(shapes=((16, 16, 32),), spacing_mm=6.0, anywhere_share=0.0)
_FLAT = PatchPreset(shapes=((64, 64, 4),), spacing_mm=(2.0, 2.0, 4.0), anywhere_share=0.0)


@lru_cache(maxsize=64)
def _window(number: int, shape: tuple[int, int, int], preset: PatchPreset) -> Patch:
    return draw_patch(number, shape, preset, ())


@dataclass(frozen=True)
class Few:
    """A few windows again and again."""

    patches: PatchPreset
    count: int
    discs_known: bool = True

    def patch(self, seed: int, shape: tuple[int, int, int]) -> Patch:
        """One of them."""
        return _window(seed % self.count, shape, self.patches)


@dataclass(frozen=True)
class Result:
    """Loss of a run: at its start, its end, and of the best constant; and what it took."""

    start: float
    end: float
    constant: float
    steps: int
    seconds: float


def segmenter(preset: SegmenterPreset, options: argparse.Namespace, out: Path) -> Result:
    """Train one segmenter on the same few windows."""
    patches = _FLAT if preset.architecture == "slice-segmenter" else _SOLID
    small = replace(
        preset, patches=patches, steps=options.steps, batch=2, learning_rate=options.rate
    )
    source = Few(patches, options.windows)
    began = time.monotonic()
    _CPU.run(train_segmenter, SegmenterTask(small, source, out=out, workers=0))
    _, labels = PatchBatches(replace(small, batch=options.windows), source)(0, 0, 1)

    def loss(logits: Tensor) -> Tensor:
        if "background" in preset.labels:
            return segmentation_loss(logits, labels)
        return independent_loss(logits, labels, preset.labels)

    shape = (len(labels), len(preset.labels), *labels.shape[1:])
    return _result(out, best_constant(loss, shape), time.monotonic() - began)


def localizer(preset: LocalizerPreset, options: argparse.Namespace, out: Path) -> Result:
    """Train one localizer on the slices of one patient, or on crops that are there."""
    small = replace(preset, batch=options.batch, learning_rate=options.rate)
    cache = options.crops
    if cache is None:
        small = replace(small, preprocess=replace(preset.preprocess, size_px=64, n_slices=5))
        cache = out / "crops"
        cache.mkdir(parents=True)
        write_shard(cache / "shard-00000", draw_vertebrae(1, small.preprocess, []))
    vertebrae = Vertebrae(cache)
    positives = int(vertebrae.slice_truth.sum())
    small = replace(small, passes=max(1, -(-options.steps * small.batch // (2 * positives))))
    began = time.monotonic()
    _CPU.run(train_localizer, LocalizerTask(small, cache, out=out / "run", workers=0))
    batch = SliceBatches(vertebrae, replace(small, batch=32))(0, 0, 1)

    def loss(logits: Tensor) -> Tensor:
        return region_loss(_Constant(logits), batch)

    shape = (len(batch[0]), 1, *batch[0].shape[-2:])
    return _result(out / "run", best_constant(loss, shape), time.monotonic() - began)


class _Constant(torch.nn.Module):
    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, slices: Tensor) -> Tensor:
        return self.logits


def best_constant(loss: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> float:
    """Least loss of one logit a class, the same for every pixel."""
    bias = torch.full((1, shape[1], *(1,) * (len(shape) - 2)), -2.0, requires_grad=True)
    optimizer = torch.optim.Adam([bias], lr=0.2)
    least = float("inf")
    for _ in range(60):
        value = loss(bias.expand(shape))
        least = min(least, value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return least


def _result(out: Path, constant: float, seconds: float) -> Result:
    losses = np.loadtxt(out / "curve.csv", delimiter=",", skiprows=1)[:, 2]
    return Result(
        float(losses[:_SHOWN].mean()),
        float(losses[-_SHOWN:].mean()),
        constant,
        len(losses),
        seconds,
    )


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [preset.name for preset in (*SEGMENTERS, *LOCALIZERS)]
    parser.add_argument("names", nargs="*", default=names, metavar="NAME")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--windows", type=int, default=4, help="segmenters learn from")
    parser.add_argument("--crops", type=Path, help="shards that localizers learn from")
    parser.add_argument("--batch", type=int, default=16, help="of localizers")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    print("| what | steps | loss at start | at end | best constant | seconds |")
    print("|---|---|---|---|---|---|")
    for name in options.names:
        preset = preset_named(name)
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(preset, LocalizerPreset):
                result = localizer(preset, options, Path(folder))
            elif isinstance(preset, SegmenterPreset):
                result = segmenter(preset, options, Path(folder))
            else:
                parser.error(f"{name} is no segmenter or localizer")
        print(
            f"| `{name}` | {result.steps} | {result.start:.3f} | {result.end:.3f} "
            f"| {result.constant:.3f} | {result.seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
