"""Training of the slice encoder: single slices with known truth, taught pixel by pixel too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.training.augment import augmented
from cspine_zoo.training.imagenet import start_from_imagenet
from cspine_zoo.training.loop import Batch, Run, Schedule, part_size, write_weights
from cspine_zoo.training.mixup import mixed
from cspine_zoo.training.recipes import CropPreset, SharedEncoderPreset
from cspine_zoo.training.records import Vertebrae, dequantised

ENCODER_ARGUMENTS: Final = ("backbone", "in_channels", "features", "encoder_pool")
"""The arguments of a row that its encoder depends on."""

_FROZEN_BLOCKS: Final = 2
"""Early blocks see edges, which ImageNet has taught; training them costs half of a step."""

_MAP_STAGES: Final = (2, 3)
"""The backbone's stages, at strides of 8 and 16 pixels, on which fracture maps are taught."""

_MAP_WEIGHT: Final = 2.0
_POSITIVE_CELL_WEIGHT: Final = 5.0
FULL_CELL: Final = 0.25
"""A cell counts as fractured in full from this share of fracture on."""


class EncoderPupil(nn.Module):
    """A slice encoder with what teaches it: a linear head, and maps off its inner stages.

    A bare label says that a slice is fractured, a map says where, and so what to look at. Heads
    and maps are left behind afterwards.

    Args:
        encoder: trained in place, but for its early blocks.
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
        for module in self._frozen():
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> EncoderPupil:
        """As for any module, but frozen layers also keep their batch statistics."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B,) of slices (B, C, H, W), and of their cells (B, 1, M, M) at each stage."""
        backbone = self.encoder.backbone
        last, inner = backbone.forward_intermediates(images, indices=list(_MAP_STAGES))
        features = self.encoder.project(backbone.forward_head(last, pre_logits=True))
        cells = [head(stage) for head, stage in zip(self.maps, inner, strict=True)]
        return self.head(features).squeeze(-1), cells

    def _frozen(self) -> list[nn.Module]:
        backbone = self.encoder.backbone
        return [backbone.conv_stem, backbone.bn1, *list(backbone.blocks)[:_FROZEN_BLOCKS]]


@dataclass(frozen=True)
class SliceBatches:
    """Slices with known truth: a quarter fractured, a quarter their twins, the rest any.

    Where a fractured vertebra has no twin, a slice without fracture of the same level, of
    another study, stands in. Real studies do not say of every broken vertebra on which slices
    it shows; slices of which that is not known are not drawn.

    Attributes:
        vertebrae: the cache.
        preset: of the row.
    """

    vertebrae: Vertebrae
    preset: CropPreset

    def __call__(self, step: int, part: int, parts: int) -> Batch:
        """Images (B, C, H, W), truth (B,), fracture maps (B, 1, M, M)."""
        generator = _generator(self.preset.seed, step, part, parts)
        count = part_size(self.preset.batch, parts)
        rows, places = self._choice(count, generator)
        channels = self.preset.preprocess.channels
        data = self.vertebrae
        images = dequantised(torch.from_numpy(data.slices(rows, places)), channels)
        maps = torch.from_numpy(data.maps(rows, places))[:, None].float() / 255
        truth = torch.from_numpy(data.slice_truth[rows, places]).float()
        images, maps = augmented(images, maps, generator, channels.index("mask"))
        if self.preset.mixup_alpha > 0:
            return mixed((images, truth, maps), self.preset.mixup_alpha, generator)
        return images, truth, maps

    def _choice(
        self, count: int, generator: Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        data = self.vertebrae
        positives, known = np.argwhere(data.slice_truth), np.argwhere(data.slice_known)
        pick = positives[_below(len(positives), max(1, count // 4), generator)]
        twins = np.stack(
            [self._twin(int(row), int(place), generator) for row, place in pick], axis=0
        )
        rest = known[_below(len(known), count - 2 * len(pick), generator)]
        chosen = np.concatenate((pick, twins, rest))
        return chosen[:, 0], chosen[:, 1]

    def _twin(self, row: int, place: int, generator: Generator) -> tuple[int, int]:
        """The same slice without the fracture, or one of the same level."""
        data = self.vertebrae
        twin = int(data.twins[row])
        if twin >= 0 and not data.slice_truth[twin, place]:
            return twin, place
        whole = np.flatnonzero((data.labels == 0) & (data.levels == data.levels[row]))
        if not len(whole):
            whole = np.flatnonzero(data.labels == 0)
        if not len(whole):
            return row, place
        return int(whole[_below(len(whole), 1, generator)[0]]), place


@dataclass(frozen=True)
class EncoderTask:
    """Training of one encoder.

    Attributes:
        preset: of any row; only its encoder matters here.
        cache: of the crops.
        out: directory of the run; ``encoder.pt`` in it is what comes out.
        start: weights to begin from instead of ImageNet's.
        resume: go on from the state in ``out``.
        workers: processes that make batches.
    """

    preset: SharedEncoderPreset
    cache: Path
    out: Path
    start: dict[str, Tensor] | None = None
    resume: bool = False
    workers: int = 1

    @property
    def result(self) -> Path:
        """State dict of the trained encoder."""
        return self.out / "encoder.pt"


def train_encoder(fabric: Fabric, task: EncoderTask) -> None:
    """Train a slice encoder, in one of any number of processes.

    Raises:
        TrainingStopped: the loss is no longer finite.
        UsageError: no slice is known to show a fracture.
    """
    preset = task.preset
    vertebrae = Vertebrae(task.cache)
    positives = int(vertebrae.slice_truth.sum())
    if not positives:
        raise UsageError(
            "no_slice_truth",
            "no slice is known to show a fracture.",
            hint="The encoder needs studies with boxes, or --start with a trained classifier.",
        )
    torch.manual_seed(preset.seed)
    encoder = untrained_encoder(preset)
    if task.start is None:
        start_from_imagenet(encoder, str(preset.arguments["backbone"]))
    else:
        encoder.load_state_dict(task.start)
    pupil = EncoderPupil(encoder, int(preset.arguments["features"]))
    pupil.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = max(1, preset.encoder_passes * 2 * positives // preset.batch)
    schedule = Schedule(
        steps,
        preset.encoder_rate,
        preset.weight_decay,
        preset.ema,
        accumulate=preset.accumulate,
        save_every=preset.save_every,
        seed=preset.seed,
    )
    run = Run(fabric, pupil, schedule, task.out)
    if task.resume:
        run.resume()
    run.fit(SliceBatches(vertebrae, preset), encoder_loss, task.workers)
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


def _generator(seed: int, step: int, part: int, parts: int) -> Generator:
    """Of one part of a step's batch; undivided batches keep the first one."""
    whole = seed * 1_000_003 + step
    return Generator().manual_seed(whole if parts == 1 else whole * 1_009 + part)


def _below(bound: int, count: int, generator: Generator) -> NDArray[np.int64]:
    return torch.randint(bound, (count,), generator=generator).numpy()
