"""Training of vertebra segmenters on synthetic patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from cspine_zoo.models.registry import build
from cspine_zoo.preprocess.window import apply_window
from cspine_zoo.synthetic.patches import Anatomy, draw_patch
from cspine_zoo.training.loop import Run, Schedule
from cspine_zoo.training.presets import SegmenterPreset


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Patch number ``index`` of a preset; the shape changes from batch to batch."""

    def __init__(
        self, preset: SegmenterPreset, anatomies: Sequence[Anatomy], first: int, count: int
    ) -> None:
        self.preset, self.anatomies, self.first, self.count = preset, anatomies, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        number = self.first + index
        shapes = self.preset.patches.shapes
        shape = shapes[(number // self.preset.batch) % len(shapes)]
        patch = draw_patch(
            self.preset.seed * 1_000_003 + number, shape, self.preset.patches, self.anatomies
        )
        hu = apply_window(patch.hu.numpy(), self.preset.preprocess.window)
        return torch.from_numpy(hu)[None], patch.labels.long()


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy plus soft Dice over the classes that are present.

    Args:
        logits: (N, classes, I, J, K).
        labels: (N, I, J, K) int64.
    """
    weight = torch.ones(logits.shape[1], device=logits.device)
    weight[0] = 0.4
    cross_entropy = functional.cross_entropy(logits, labels, weight=weight)
    probabilities = logits.softmax(dim=1)
    classes = logits.shape[1]
    flat_labels = labels.flatten()
    own = probabilities.gather(1, labels[:, None]).flatten()
    overlap = torch.zeros(classes, device=logits.device).index_add(0, flat_labels, own)
    true = torch.bincount(flat_labels, minlength=classes).float()
    predicted = probabilities.sum(dim=(0, 2, 3, 4))
    dice = (2 * overlap + 1) / (true + predicted + 1)
    return (
        cross_entropy + 1 - dice[1:][true[1:] > 0].mean() if (true[1:] > 0).any() else cross_entropy
    )


def train_segmenter(
    preset: SegmenterPreset,
    out: Path,
    anatomies: Sequence[Anatomy] = (),
    *,
    resume: bool = False,
    workers: int = 1,
) -> nn.Module:
    """Train a segmenter and return its averaged network.

    Args:
        preset: what to train.
        out: directory for the run's state.
        anatomies: shapes from label maps, mixed with parametric ones.
        resume: go on from the state in ``out``.
        workers: processes that make patches.

    Raises:
        TrainingStopped: the loss is no longer finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(preset.seed)
    network = build(preset.architecture, preset.arguments)
    schedule = Schedule(preset.steps, preset.learning_rate, preset.weight_decay, preset.ema)
    run = Run(network, schedule, out)
    if resume:
        run.resume()
    first = run.step * preset.batch
    dataset = PatchDataset(preset, anatomies, first, preset.steps * preset.batch - first)
    loader = DataLoader(
        dataset,
        batch_size=preset.batch,
        num_workers=workers,
        prefetch_factor=6 if workers else None,
    )
    run.fit(
        (tuple(batch) for batch in loader),
        lambda batch: segmentation_loss(network(batch[0]), batch[1]),
    )
    return run.result()
