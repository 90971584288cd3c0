"""How the localizers are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.recipes import LocalizerPreset

_CLASSIFIER: Final = LIGHT[0]
"""All look at the same crops."""


def _unet(name: str, backbone: str, widths: Sequence[int], **recipe: Any) -> LocalizerPreset:
    return LocalizerPreset(
        name=name,
        segmenter=_CLASSIFIER.segmenter,
        architecture="crop-localizer",
        arguments={
            "in_channels": len(_CLASSIFIER.preprocess.channels),
            "backbone": backbone,
            "decoder": "unet",
            "widths": list(widths),
        },
        preprocess=_CLASSIFIER.preprocess,
        seed=_CLASSIFIER.seed,
        **recipe,
    )


LOCALIZERS: Final = (
    # On the inner stages of the encoder that the light classifiers share, which learn nothing more
    # where it starts from one: few weights of its own, to fit into the package beside theirs.
    _unet(
        "loc-unet-lite0",
        str(_CLASSIFIER.arguments["backbone"]),
        (16, 16, 8, 8),
        shards=_CLASSIFIER.shards,
        passes=1,
        learning_rate=3e-3,
        encoder_learns=False,
    ),
    _unet("loc-unet-effb0", "tf_efficientnet_b0", (256, 128, 64, 32, 16)),
)
