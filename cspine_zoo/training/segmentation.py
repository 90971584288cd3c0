"""Training of vertebra segmenters on patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.anatomy import BACKGROUND, CLASSES, DISC
from cspine_zoo.preprocess.window import apply_window
from cspine_zoo.synthetic.patches import Anatomy, Patch, draw_patch
from cspine_zoo.training.loop import Batch, Run, part_size, write_weights
from cspine_zoo.training.recipes import SegmenterPreset
from cspine_zoo.training.sigmoid_loss import sigmoid_loss
from cspine_zoo.training.task import Task, fitted, schedule_of, untrained

UNKNOWN: Final = 255
"""Label of voxels that nobody has labelled; they count in no loss."""

_BACKGROUND_WEIGHT: Final = 0.4


class PatchSource(Protocol):
    """Where patches come from; it can be sent to another process."""

    @property
    def discs_known(self) -> bool:
        """Whether discs are labelled, and not a part of the background."""

    def patch(self, seed: int, shape: tuple[int, int, int]) -> Patch:
        """One window; same seed, same window."""


@dataclass(frozen=True)
class SyntheticPatches:
    """Windows of random scenes, made on the fly."""

    preset: SegmenterPreset
    anatomies: Sequence[Anatomy] = ()
    discs_known: bool = True

    def patch(self, seed: int, shape: tuple[int, int, int]) -> Patch:
        """One window; same seed, same window."""
        return draw_patch(seed, shape, self.preset.patches, self.anatomies)


@dataclass(frozen=True)
class PatchBatches:
    """Batches of patches; the shape changes from batch to batch."""

    preset: SegmenterPreset
    source: PatchSource

    def __call__(self, step: int, part: int, parts: int) -> Batch:
        """Windowed intensities (N, 1, I, J, K) and labels (N, I, J, K)."""
        preset = self.preset
        count = part_size(preset.batch, parts)
        shape = preset.patches.shapes[step % len(preset.patches.shapes)]
        first = step * preset.batch + part * count
        patches = [
            self.source.patch(preset.seed * 1_000_003 + number, shape)
            for number in range(first, first + count)
        ]
        images = [apply_window(patch.hu.numpy(), preset.preprocess.window) for patch in patches]
        return (
            torch.stack([torch.from_numpy(image)[None] for image in images]),
            torch.stack([patch.labels.long() for patch in patches]),
        )


def segmentation_loss(logits: Tensor, labels: Tensor, *, discs_known: bool = True) -> Tensor:
    """Cross entropy plus soft Dice over the classes that are present.

    Args:
        logits: (N, classes, I, J, K).
        labels: (N, I, J, K) int64; ``UNKNOWN`` where nobody has looked.
        discs_known: whether discs are labelled; otherwise "disc" counts as background.
    """
    if not discs_known:
        logits = _without_discs(logits)
    classes = logits.shape[1]
    known = labels != UNKNOWN
    if not known.any():
        return logits.sum() * 0.0
    weight = torch.ones(classes, device=logits.device)
    weight[0] = _BACKGROUND_WEIGHT
    cross_entropy = functional.cross_entropy(logits, labels, weight=weight, ignore_index=UNKNOWN)
    probabilities = logits.softmax(dim=1) * known[:, None]
    flat_labels = labels[known]
    own = probabilities.gather(1, labels.where(known, 0)[:, None])[:, 0][known]
    overlap = torch.zeros(classes, device=logits.device).index_add(0, flat_labels, own)
    true = torch.bincount(flat_labels, minlength=classes).float()
    predicted = probabilities.sum(dim=(0, 2, 3, 4))
    dice = (2 * overlap + 1) / (true + predicted + 1)
    return (
        cross_entropy + 1 - dice[1:][true[1:] > 0].mean() if (true[1:] > 0).any() else cross_entropy
    )


def independent_loss(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Tensor:
    """Loss of a sigmoid for each class; labels without a class are background to all.

    Args:
        logits: (N, classes, I, J, K).
        labels: (N, I, J, K) int64; ``UNKNOWN`` where nobody has looked.
        classes: names of the classes.
    """
    wanted = torch.tensor([CLASSES.index(name) for name in classes], device=labels.device)
    truth = labels[:, None] == wanted[:, None, None, None]
    return sigmoid_loss(logits, truth.to(logits.dtype), (labels != UNKNOWN)[:, None])


def _without_discs(logits: Tensor) -> Tensor:
    """Logits in which background is "background or disc"."""
    background = torch.logsumexp(logits[:, [0, DISC]], dim=1, keepdim=True)
    return torch.cat((background, logits[:, 1:DISC], logits[:, DISC + 1 :]), dim=1)


@dataclass(frozen=True)
class SegmenterTask(Task):
    """Training of one segmenter.

    Attributes:
        preset: what to train.
        source: of the patches.
    """

    preset: SegmenterPreset
    source: PatchSource


def train_segmenter(fabric: Fabric, task: SegmenterTask) -> None:
    """Train a segmenter, in one of any number of processes.

    Raises:
        TrainingStopped: the loss is no longer finite.
    """
    preset = task.preset
    network = untrained(preset)
    if task.start is not None:
        network.load_state_dict(task.start)
    solid = any(parameter.ndim == 5 for parameter in network.parameters())
    network.to(  # type: ignore[call-overload]
        memory_format=torch.channels_last_3d if solid else torch.channels_last
    )
    schedule = schedule_of(preset, preset.steps, preset.learning_rate, warm_up=preset.warm_up)
    run = Run(fabric, network, schedule, task.out)

    def loss(distributed: nn.Module, batch: Batch) -> Tensor:
        images, labels = batch
        logits = distributed(images.contiguous(memory_format=torch.channels_last_3d))
        if CLASSES[BACKGROUND] not in preset.labels:
            return independent_loss(logits, labels, preset.labels)
        return segmentation_loss(logits, labels, discs_known=task.source.discs_known)

    fitted(run, task, PatchBatches(preset, task.source), loss)
    if fabric.is_global_zero:
        write_weights(run.result().state_dict(), task.result)
