"""What is trained, on what, and for how long: one typed preset for each row of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    steps=1600,
)


@dataclass(frozen=True)
class ClassifierPreset:
    """Fracture classification of single vertebrae, on a cache of synthetic crops.

    The rows share one encoder, trained slice by slice; each row's head learns on its frozen
    features, in the same steps from the same vertebrae, so that comparing rows compares heads.

    Attributes:
        name: of the manifest row.
        segmenter: row whose masks the crops imitate.
        shards: of the crop cache.
        encoder_passes: epochs over the fractured slices and as many others.
        head_passes: epochs over the vertebrae.
        batch: slices (encoder) or vertebrae (head) a step.
    """

    name: str
    segmenter: str
    architecture: str
    arguments: dict[str, Any]
    preprocess: Preprocess
    shards: int = 26
    encoder_passes: int = 6
    head_passes: int = 40
    batch: int = 64
    encoder_rate: float = 1e-3
    head_rate: float = 1e-3
    weight_decay: float = 1e-2
    ema: float = 0.99
    seed: int = 7


_CROP: Final = Preprocess(
    orientation="RAS",
    spacing_mm=None,
    window=Window(level=500.0, width=1800.0),
    crop_mm=(96.0, 96.0),
    size_px=128,
    n_slices=15,
    neighbour_mm=1.5,
    channels=("previous", "slice", "next", "mask"),
)


def _light(name: str, sequence: str | None, pooling: str) -> ClassifierPreset:
    return ClassifierPreset(
        name=name,
        segmenter=SEGMENTER.name,
        architecture="slice-classifier",
        arguments={
            "backbone": "tf_efficientnet_lite0",
            "in_channels": len(_CROP.channels),
            "features": 256,
            "sequence": sequence,
            "hidden": 128,
            "pooling": pooling,
            "top_k": 5,
            "encoder_pool": "avgmax",
        },
        preprocess=_CROP,
    )


CLASSIFIERS: Final = (
    _light("cls-cnn-lite0", None, "top-k"),
    _light("cls-bigru-lite0", "gru", "top-k"),
    _light("cls-bigru-attention-lite0", "gru", "attention"),
)

PRESETS: Final[Mapping[str, SegmenterPreset | ClassifierPreset]] = {
    preset.name: preset for preset in (SEGMENTER, *CLASSIFIERS)
}
"""By the name of the row that they train."""
