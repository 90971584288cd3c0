"""Whether classifiers can tell fractures without seeing them: python -m benchmarks.shortcuts.

A model judges vertebrae of patients it has not seen, as they are, with their masks alone, and with
their fractures replaced by the whole twin's bone; the last two must come near an AUC of .5. That a
model makes nothing of masks does not yet say that there is nothing in them: with ``--crops``, the
cache that a training run left, gradient boosting learns from masks alone, and is judged likewise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from benchmarks.small_classifier import logits
from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.synthetic.families import ALL, some_of
from cspine_zoo.synthetic.label_shapes import read_shapes
from cspine_zoo.synthetic.patches import Anatomy
from cspine_zoo.training.records import Vertebrae, VertebraRecord
from cspine_zoo.training.shortcuts import mask_only, placebo
from cspine_zoo.training.synthetic_crops import draw_vertebrae
from cspine_zoo.zoo.load import load_model

LIMIT = 0.6
_HELD_OUT_SEED = 5_000_000
_CELL_PX = 8

Kind = tuple[str, Callable[[Sequence[VertebraRecord]], list[VertebraRecord]]]


def held_out(options: argparse.Namespace) -> list[VertebraRecord]:
    """Both states of each vertebra of patients from seeds that train nothing."""
    preprocess = load_model(options.model, "cpu").preprocess
    shapes: list[Anatomy] = [read_shapes(path) for path in options.anatomy]
    return [
        record
        for seed in range(_HELD_OUT_SEED, _HELD_OUT_SEED + options.patients)
        for record in draw_vertebrae(seed, preprocess, shapes, some_of(ALL, 0.5, seed))
    ]


def by_model(options: argparse.Namespace, records: list[VertebraRecord]) -> None:
    """What a trained classifier makes of each kind."""
    model = load_model(options.model, "cpu")
    channels = model.preprocess.channels
    kinds: Sequence[Kind] = (
        ("as they are", list),
        ("masks alone", lambda of: mask_only(of, channels)),
        ("placebo", lambda of: placebo(of, channels)),
    )
    for number, (name, change) in enumerate(kinds):
        changed = change(records)
        scores = logits(model, [record.images for record in changed], model.preprocess.channels)
        report(f"{options.model}, {name}", [r.label for r in changed], scores, number > 0)


def by_masks(options: argparse.Namespace, records: list[VertebraRecord]) -> None:
    """What can be learned from masks."""
    place = load_model(options.model, "cpu").preprocess.channels.index("mask")
    cache = Vertebrae(options.crops)
    slices = np.arange(cache.slice_truth.shape[1])
    learnt = np.stack(
        [
            description(
                cache.slices(np.full(len(slices), row), slices)[:, place], cache.levels[row]
            )
            for row in range(len(cache))
        ]
    )
    judged = np.stack([description(r.images[:, place], LABEL_OF[r.level]) for r in records])
    judge = HistGradientBoostingClassifier(random_state=1).fit(learnt, cache.labels)
    scores = judge.decision_function(judged)
    name = f"boosting on masks of {len(cache)} vertebrae"
    report(name, [record.label for record in records], scores, True)


def description(masks: NDArray[np.uint8], level: int) -> NDArray[np.float32]:
    """Level, and the share of mask in each cell of each slice (S, H, W)."""
    s, h, w = masks.shape
    cells = masks.reshape(s, h // _CELL_PX, _CELL_PX, w // _CELL_PX, _CELL_PX).mean((2, 4))
    return np.concatenate(([float(level)], cells.ravel())).astype(np.float32)


def report(name: str, labels: Sequence[int], scores: NDArray[np.float64], limited: bool) -> None:
    """One line."""
    found = float(roc_auc_score(labels, scores))
    spread = 1 / np.sqrt(3 * len(labels))  # standard error of an AUC of .5, about
    verdict = f"  over the limit of {LIMIT}" if limited and found > LIMIT else ""
    print(f"{name}: AUC {found:.2f} (standard error about {spread:.2f}){verdict}", flush=True)


def main() -> None:
    """Print one line a kind of crop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cls-bigru-attention-lite0")
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--anatomy", type=Path, action="append", default=[])
    parser.add_argument("--crops", type=Path, help="OUT/shared-*/crops of a training run")
    options = parser.parse_args()
    records = held_out(options)
    print(f"{len(records)} vertebrae of {options.patients} patients, each broken and whole")
    by_model(options, records)
    if options.crops is not None:
        by_masks(options, records)


if __name__ == "__main__":
    main()
