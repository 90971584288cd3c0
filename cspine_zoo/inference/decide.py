"""From a segmenter's logits to the label of every voxel, whatever classes its row names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cspine_zoo.anatomy import BACKGROUND, CLASSES, DISC, THORACIC
from cspine_zoo.errors import ManifestError

LEAST_SIGMOID: Final = 0.2
"""A voxel is vertebra from this sigmoid on, where classes do not exclude each other: the rule of
RSNA 2022's 1st place, whose networks these are. Less than one half, for a missed voxel costs a
crop more than a false one."""

_SHIFT: Final = math.log(LEAST_SIGMOID / (1 - LEAST_SIGMOID))


@dataclass(frozen=True, eq=False)
class Voxels:
    """What a network says about every voxel.

    Attributes:
        labels: uint8, 0 background, 1-8 the most probable vertebra where bone is more probable
            than not, 9 disc.
        bone: float32, probability of any vertebra; 0.5 is where ``labels`` begin.
    """

    labels: NDArray[np.uint8]
    bone: NDArray[np.float32]


def decide(logits: Tensor, classes: Sequence[str]) -> Voxels:
    """Label every voxel.

    Args:
        logits: (classes, I, J, K).
        classes: the row's labels. With a background among them they exclude each other; without
            one each is a sigmoid of its own, and what no class claims is background.

    Raises:
        ManifestError: a label is unknown or twice, or there is not one for each logit.
    """
    labels = _labels(classes, len(logits))
    vertebrae = [place for place, label in enumerate(labels) if BACKGROUND < label <= THORACIC]
    of_levels = logits[vertebrae]
    if BACKGROUND in labels:
        any_level = torch.logsumexp(of_levels, dim=0)
        bone = torch.exp(any_level - torch.logsumexp(logits, dim=0))
    else:
        any_level = of_levels.amax(dim=0)
        bone = torch.sigmoid(any_level - _SHIFT)
    names = torch.tensor([labels[place] for place in vertebrae], dtype=torch.uint8)
    result = names[of_levels.argmax(dim=0)]
    result[bone < 0.5] = BACKGROUND
    if DISC in labels:
        other = any_level
        if BACKGROUND in labels:
            other = torch.logaddexp(any_level, logits[labels.index(BACKGROUND)])
        result[logits[labels.index(DISC)] > other] = DISC
    return Voxels(result.numpy(), bone.numpy())


def _labels(classes: Sequence[str], count: int) -> list[int]:
    unknown = [name for name in classes if name not in CLASSES]
    if unknown or len(set(classes)) < len(classes) or len(classes) != count:
        raise ManifestError(
            "bad_labels",
            f"a segmenter with {count} classes cannot have the labels {', '.join(classes)}",
            hint=f"Labels are {', '.join(CLASSES)}, each at most once, one for each class.",
        )
    labels = [CLASSES.index(name) for name in classes]
    if not any(BACKGROUND < label < THORACIC for label in labels):
        raise ManifestError("bad_labels", "a segmenter needs at least one cervical level")
    return labels
