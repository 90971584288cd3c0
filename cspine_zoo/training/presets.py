"""What is trained, on what, and for how long: one typed preset for each row of the zoo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.synthetic.patches import PatchPreset


@dataclass(frozen=True)
class SegmenterPreset:
    """Vertebra segmentation, on patches made on the fly.

    Attributes:
        name: of the manifest row.
        steps: optimiser steps.
        batch: patches a step; at least 2, below which torch leaves its fast convolutions.
        learning_rate: peak, after 3 % warm-up, falling to 0 on a cosine.
        ema: decay of the averaged weights that are kept.
    """

    name: str
    architecture: str
    arguments: dict[str, Any]
    preprocess: Preprocess
    patches: PatchPreset
    steps: int
    batch: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    ema: float = 0.995
    seed: int = 1


SEGMENTER: Final = SegmenterPreset(
    name="seg-unet3d-small",
    architecture="unet3d",
    arguments={"in_channels": 1, "out_channels": 10, "widths": [32, 64, 96, 128], "fold": 2},
    preprocess=Preprocess(
        orientation="RAS",
        spacing_mm=(2.5, 2.5, 2.5),
        window=Window(level=300.0, width=1600.0),
        crop_mm=None,
        size_px=None,
        n_slices=None,
        neighbour_mm=None,
        channels=("slice",),
    ),
    patches=PatchPreset(),
    steps=2000,
)


@dataclass(frozen=True)
class ClassifierPreset:
    """Fracture classification of single vertebrae, on a cache of synthetic crops.

    The three rows share one encoder: the plain CNN trains it, slice by slice, and the sequence
    models learn on its frozen features, so that comparing the rows compares the heads alone.

    Attributes:
        name: of the manifest row.
        segmenter: row whose masks the crops imitate.
        shards: of the crop cache; 20 patients with two vertebrae each.
        passes: epochs over the cache, each with new augmentation.
        batch: slices (encoder) or vertebrae (heads) a step.
    """

    name: str
    segmenter: str
    architecture: str
    arguments: dict[str, Any]
    preprocess: Preprocess
    shards: int
    passes: int
    batch: int
    learning_rate: float
    weight_decay: float = 1e-2
    ema: float = 0.99
    seed: int = 7
