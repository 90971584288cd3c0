"""What a preset says: the data, the steps and the rates of one training run, typed by task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cspine_zoo.anatomy import CLASSES
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.synthetic.families import ALL, Families
from cspine_zoo.synthetic.patches import PatchPreset

FIRST_SOURCE: Final = "CPD9 / MALDASC.F2401"
SECOND_SOURCE: Final = "Youssef-Ashraf71 (after the 2nd place of RSNA 2022)"


@dataclass(frozen=True)
class SegmenterPreset:
    """Vertebra segmentation, on patches made on the fly.

    Attributes:
        name: of the manifest row.
        labels: what the network's classes are. Without a background among them each is a sigmoid
            of its own, and the loss is the mean of cross entropy and Dice.
        steps: optimiser steps.
        batch: patches a step; at least 2, below which torch leaves its fast convolutions.
        learning_rate: peak, after the warm-up, falling to 0 on a cosine.
        warm_up: share of the steps.
        ema: decay of the averaged weights that are kept.
        accumulate: parts of a batch that one device takes one after another.
        save_every: steps between two saved states.
        source: published system whose network this is; empty for our own.
    """

    name: str
    architecture: str
    arguments: dict[str, Any]
    preprocess: Preprocess
    patches: PatchPreset
    steps: int
    labels: tuple[str, ...] = CLASSES
    batch: int = 2
    learning_rate: float = 2e-3
    warm_up: float = 0.03
    weight_decay: float = 1e-4
    ema: float = 0.995
    accumulate: int = 1
    save_every: int = 100
    seed: int = 1
    source: str = ""


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
class CropPreset:
    """What is learnt from crops of vertebrae, on a cache of them.

    Attributes:
        name: of the manifest row.
        segmenter: row whose masks the crops imitate, or are cut by.
        shards: of the cache of synthetic crops.
        batch: samples a step.
        accumulate: parts of a batch that one device takes one after another.
        save_every: steps between two saved states.
        families: of randomisation, of synthetic crops.
        family_share: chance of each of them in a patient.
        mixup_alpha: of mixed batches, whose shares are drawn from Beta(alpha, alpha); 0 mixes
            nothing.
        source: published system whose network this is; empty for our own.
    """

    name: str
    segmenter: str
    architecture: str
    arguments: dict[str, Any]
    preprocess: Preprocess
    shards: int = 24
    batch: int = 64
    weight_decay: float = 1e-2
    ema: float = 0.99
    accumulate: int = 1
    save_every: int = 100
    seed: int = 11
    families: Families = ALL
    family_share: float = 0.5
    mixup_alpha: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class LocalizerPreset(CropPreset):
    """Fracture localisation, slice by slice, from random weights.

    Attributes:
        passes: epochs over the fractured slices and as many others.
        learning_rate: peak, after the warm-up, falling to 0 on a cosine.
        warm_up: share of the steps.
        encoder_learns: also where it begins from trained weights; from random ones it always does.
    """

    passes: int = 12
    learning_rate: float = 1e-3
    warm_up: float = 1 / 15
    encoder_learns: bool = True


@dataclass(frozen=True)
class ClassifierPreset(CropPreset):
    """Fracture classification of vertebrae.

    Attributes:
        weights: of the loss.
        shuffled_share: of the vertebrae whose slices come in random order.
    """

    weights: ClassWeights = ClassWeights()
    shuffled_share: float = 0.0


@dataclass(frozen=True)
class SharedEncoderPreset(ClassifierPreset):
    """An encoder trained slice by slice, then a head on its frozen features.

    Rows of one recipe share crops and encoder; their heads learn in the same steps from the same
    vertebrae, so that comparing rows compares heads. Batches are of slices (encoder) or vertebrae
    (head).

    Attributes:
        encoder_passes: epochs over the fractured slices and as many others.
        head_passes: epochs over the vertebrae.
    """

    encoder_passes: int = 3
    head_passes: int = 40
    encoder_rate: float = 1e-3
    head_rate: float = 1e-3


@dataclass(frozen=True)
class EndToEndPreset(ClassifierPreset):
    """Encoder, sequence and head trained together, from random weights.

    Batches are of vertebrae, or of spines where the network reads whole ones; crops are made when
    a batch first asks for them.

    Attributes:
        passes: epochs over the vertebrae.
        learning_rate: its peak.
        least_rate: that the cosine ends in.
        judged: what the loss is taken of: the ``"vertebra"``, or each of its ``"slices"``, which
            then has its vertebra's label.
        mixed_share: of the batches that are mixed.
        augmented: vertebrae are shown in random poses and with random values.
    """

    passes: int = 20
    learning_rate: float = 1e-4
    least_rate: float = 0.0
    judged: str = "vertebra"
    mixed_share: float = 1.0
    augmented: bool = True


Preset = SegmenterPreset | ClassifierPreset | LocalizerPreset
