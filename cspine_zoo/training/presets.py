"""What is trained, on what, and for how long: one typed preset for each row of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cspine_zoo.errors import UsageError
from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.synthetic.families import ALL, Families
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
        accumulate: parts of a batch that one device takes one after another.
        save_every: steps between two saved states.
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
    accumulate: int = 1
    save_every: int = 100
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
    steps=2600,
    learning_rate=1.2e-3,
    seed=2,
)


@dataclass(frozen=True)
class ClassWeights:
    """What each answer counts in the loss.

    Attributes:
        fractured, whole: of a vertebra.
        patient_fractured, patient_whole: of the patient's probability, 1 - prod(1 - p); 0 leaves
            it out.
    """

    fractured: float = 1.0
    whole: float = 1.0
    patient_fractured: float = 0.0
    patient_whole: float = 0.0

    @property
    def counts_patients(self) -> bool:
        """Whether a batch is made of whole studies."""
        return max(self.patient_fractured, self.patient_whole) > 0


CHALLENGE: Final = ClassWeights(2.0, 1.0, 14.0, 7.0)
"""Weights of RSNA 2022's metric (rsna-2022-cervical-spine-fracture-detection, "Evaluation")."""


@dataclass(frozen=True)
class ClassifierPreset:
    """Fracture classification of single vertebrae, on a cache of crops.

    The rows share one encoder, trained slice by slice; each row's head learns on its frozen
    features, in the same steps from the same vertebrae, so that comparing rows compares heads.

    Attributes:
        name: of the manifest row.
        segmenter: row whose masks the crops imitate, or are cut by.
        shards: of the cache of synthetic crops.
        encoder_passes: epochs over the fractured slices and as many others.
        head_passes: epochs over the vertebrae.
        batch: slices (encoder) or vertebrae (head) a step.
        accumulate: parts of the encoder's batch that one device takes one after another.
        save_every: the encoder's steps between two saved states.
        families: of randomisation, of synthetic crops.
        family_share: chance of each of them in a patient.
        weights: of the head's loss.
        mixup_alpha: of the encoder's batches; 0 mixes nothing.
        shuffled_share: of the head's vertebrae whose slices come in random order.
    """

    name: str
    segmenter: str
    architecture: str
    arguments: dict[str, Any]
    preprocess: Preprocess
    shards: int = 24
    encoder_passes: int = 5
    head_passes: int = 40
    batch: int = 64
    encoder_rate: float = 1e-3
    head_rate: float = 1e-3
    weight_decay: float = 1e-2
    ema: float = 0.99
    accumulate: int = 1
    save_every: int = 100
    seed: int = 11
    families: Families = ALL
    family_share: float = 0.5
    weights: ClassWeights = ClassWeights()
    mixup_alpha: float = 0.0
    shuffled_share: float = 0.0


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

Preset = SegmenterPreset | ClassifierPreset

PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in (SEGMENTER, *CLASSIFIERS)}
"""By the name of the row that they train."""


def preset_named(name: str) -> Preset:
    """The preset of a row.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(
            "unknown_preset", f"no preset {name!r}", hint=f"Known: {', '.join(PRESETS)}."
        )
    return PRESETS[name]
