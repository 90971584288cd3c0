"""How the fracture classifiers are trained."""

from __future__ import annotations

from typing import Final

from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.training.recipes import ClassifierPreset
from cspine_zoo.training.segmenter_presets import SEGMENTER

_LIGHT_CROP: Final = Preprocess(
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
            "in_channels": len(_LIGHT_CROP.channels),
            "features": 256,
            "sequence": sequence,
            "hidden": 128,
            "pooling": pooling,
            "top_k": 5,
            "encoder_pool": "avgmax",
        },
        preprocess=_LIGHT_CROP,
    )


LIGHT: Final = (
    _light("cls-cnn-lite0", None, "top-k"),
    _light("cls-bigru-lite0", "gru", "top-k"),
    _light("cls-bigru-attention-lite0", "gru", "attention"),
)

CLASSIFIERS: Final = (*LIGHT,)
