"""Training of the slice encoder: single slices with known truth, taught pixel by pixel too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.training.imagenet import start_from_imagenet
from cspine_zoo.training.loop import Batch, Run, write_weights
from cspine_zoo.training.recipes import SharedEncoderPreset
from cspine_zoo.training.records import Vertebrae
from cspine_zoo.training.slice_batches import FULL_CELL, SliceBatches, loader_processes, slice_steps
from cspine_zoo.training.task import Task, fitted, schedule_of

ENCODER_ARGUMENTS: Final = ("backbone", "in_channels", "features", "encoder_pool")
"""The arguments of a row that its encoder depends on."""

_MAP_STAGES: Final = (2, 3)
"""The backbone's stages, at strides of 8 and 16 pixels, on which fracture maps are taught."""

_MAP_WEIGHT: Final = 2.0
_POSITIVE_CELL_WEIGHT: Final = 5.0


class EncoderPupil(nn.Module):
    """A slice encoder with what teaches it: a linear head, and maps off its inner stages.

    A bare label says that a slice is fractured, a map says where, and so what to look at. Heads
    and maps are left behind afterwards.

    Args:
        encoder: trained in place.
        features: length of its feature vectors.
    """

    def __init__(self, encoder: SliceEncoder, features: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(features, 1))
        stages = encoder.backbone.feature_info
        self.maps = nn.ModuleList(
            nn.Conv2d(stages[stage]["num_chs"], 1, kernel_size=1) for stage in _MAP_STAGES
        )

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B,) of slices (B, C, H, W), and of their cells (B, 1, M, M) at each stage."""
        backbone = self.encoder.backbone
        last, inner = backbone.forward_intermediates(images, indices=list(_MAP_STAGES))
        features = self.encoder.project(backbone.forward_head(last, pre_logits=True))
        cells = [head(stage) for head, stage in zip(self.maps, inner, strict=True)]
        return self.head(features).squeeze(-1), cells


@dataclass(frozen=True)
class EncoderTask(Task):
    """Training of one encoder, from ImageNet's weights where it has no others to start from.

    Attributes:
        preset: of any row; only its encoder matters here.
        cache: of the crops.
    """

    preset: SharedEncoderPreset
    cache: Path


def train_encoder(fabric: Fabric, task: EncoderTask) -> None:
    """Train a slice encoder, in one of any number of processes.

    Raises:
        TrainingStopped: the loss is no longer finite.
        UsageError: no slice is known to show a fracture.
    """
    preset = task.preset
    vertebrae = Vertebrae(task.cache)
    steps = slice_steps(vertebrae, preset.encoder_passes, preset.batch)
    torch.manual_seed(preset.seed)
    encoder = untrained_encoder(preset)
    if task.start is None:
        start_from_imagenet(encoder, str(preset.arguments["backbone"]))
    else:
        encoder.load_state_dict(task.start)
    pupil = EncoderPupil(encoder, int(preset.arguments["features"]))
    pupil.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = Run(fabric, pupil, schedule_of(preset, steps, preset.encoder_rate), task.out)
    task = replace(task, workers=loader_processes(task.workers, fabric.device))
    fitted(run, task, SliceBatches(vertebrae, preset), encoder_loss)
    if fabric.is_global_zero:
        write_weights(run.result().encoder.state_dict(), task.result)


def encoder_loss(pupil: nn.Module, batch: Batch) -> Tensor:
    """Cross entropy of slices and, more strongly, of the cells of their maps."""
    images, truth, maps = batch
    logits, cells = pupil(images.contiguous(memory_format=torch.channels_last))
    label_loss = functional.binary_cross_entropy_with_logits(logits, truth)
    return label_loss + _MAP_WEIGHT * torch.stack([map_loss(c, maps) for c in cells]).sum()


def untrained_encoder(preset: SharedEncoderPreset) -> SliceEncoder:
    """The slice encoder that the rows share."""
    arguments = preset.arguments
    return SliceEncoder(
        str(arguments["backbone"]),
        int(arguments["in_channels"]),
        int(arguments["features"]),
        str(arguments["encoder_pool"]),
    )


def map_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy of cells (B, 1, m, m) against shares of fracture (B, 1, M, M), M >= m."""
    truth = functional.adaptive_max_pool2d(shares, logits.shape[-2:])
    weight = torch.tensor(_POSITIVE_CELL_WEIGHT, device=logits.device)
    return functional.binary_cross_entropy_with_logits(
        logits, (truth / FULL_CELL).clamp(max=1.0), pos_weight=weight
    )
