"""How the localizers are trained."""

from __future__ import annotations

from typing import Final

from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.recipes import LocalizerPreset

_CLASSIFIER: Final = LIGHT[0]
"""Both look at the same crops."""

LOCALIZERS: Final = (
    LocalizerPreset(
        name="loc-unet-effb0",
        segmenter=_CLASSIFIER.segmenter,
        architecture="crop-localizer",
        arguments={
            "in_channels": len(_CLASSIFIER.preprocess.channels),
            "backbone": "tf_efficientnet_b0",
            "decoder": "unet",
            "widths": [256, 128, 64, 32, 16],
        },
        preprocess=_CLASSIFIER.preprocess,
        seed=_CLASSIFIER.seed,
    ),
)
