"""Training of the slice encoder: single slices with known truth, taught pixel by pixel too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.training.augment import augmented
from cspine_zoo.training.crop_cache import Crops, dequantised
from cspine_zoo.training.imagenet import start_from_imagenet
from cspine_zoo.training.loop import Run, Schedule
from cspine_zoo.training.presets import ClassifierPreset

_FROZEN_BLOCKS: Final = 2
"""Early blocks see edges, which ImageNet has taught; training them costs half of a step."""

ENCODER_ARGUMENTS: Final = ("backbone", "in_channels", "features", "encoder_pool")
"""The arguments of a row that its encoder depends on."""

_MAP_STAGES: Final = (2, 3)
"""The backbone's stages, at strides of 8 and 16 pixels, on which fracture maps are taught."""

_MAP_WEIGHT: Final = 2.0
_POSITIVE_CELL_WEIGHT: Final = 5.0
_FULL_CELL: Final = 0.25
"""A cell counts as fractured in full from this share of fracture on."""


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


def train_encoder(
    preset: ClassifierPreset, crops: Crops, out: Path, *, resume: bool = False
) -> SliceEncoder:
    """Train the slice encoder on single slices with known truth.

    A slice of a broken vertebra is positive where the fracture shows on it; all other slices,
    and all of the whole twin, are negative. Every fractured slice comes with its twin.

    Args:
        preset: of any row; only its encoder matters here.
        crops: the cache.
        out: directory of the run's state.
        resume: go on from the state in ``out``.

    Raises:
        TrainingStopped: the loss is no longer finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(preset.seed)
    encoder = untrained_encoder(preset)
    start_from_imagenet(encoder, str(preset.arguments["backbone"]))
    _freeze_early(encoder)
    pupil = EncoderPupil(encoder, int(preset.arguments["features"]))
    pupil.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = preset.encoder_passes * 2 * int(crops.slice_labels.sum()) // preset.batch
    run = Run(pupil, Schedule(steps, preset.encoder_rate, preset.weight_decay, preset.ema), out)
    if resume:
        run.resume()

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        images, truth, maps = batch
        _keep_frozen(encoder)
        logits, cells = pupil(images.contiguous(memory_format=torch.channels_last))
        label_loss = functional.binary_cross_entropy_with_logits(logits, truth)
        return label_loss + _MAP_WEIGHT * torch.stack([map_loss(c, maps) for c in cells]).sum()

    def batches() -> Iterator[tuple[Tensor, ...]]:
        for step in range(run.step, steps):
            yield slice_batch(crops, preset, step)

    run.fit(batches(), loss)
    return run.result().encoder


def untrained_encoder(preset: ClassifierPreset) -> SliceEncoder:
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
        logits, (truth / _FULL_CELL).clamp(max=1.0), pos_weight=weight
    )


def slice_batch(crops: Crops, preset: ClassifierPreset, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Half fractured slices with their twins, half random slices of either.

    Returns:
        Images (B, C, H, W), truth (B,), fracture maps (B, 1, M, M).
    """
    generator = Generator().manual_seed(preset.seed * 1_000_003 + step)
    positives = torch.from_numpy(crops.slice_labels).nonzero()
    pick = positives[torch.randint(len(positives), (preset.batch // 4,), generator=generator)]
    rest = preset.batch - 2 * len(pick)
    pairs = torch.randint(len(crops.images), (rest,), generator=generator)
    slices = torch.randint(crops.slice_labels.shape[1], (rest,), generator=generator)
    states = torch.randint(2, (rest,), generator=generator)
    pair = torch.cat((pick[:, 0], pick[:, 0], pairs)).numpy()
    place = torch.cat((pick[:, 1], pick[:, 1], slices)).numpy()
    state = torch.cat((torch.zeros(len(pick)), torch.ones(len(pick)), states)).long().numpy()
    channels = preset.preprocess.channels
    images = dequantised(torch.from_numpy(crops.images[pair, state, place]), channels)
    broken = state == 0
    truth = torch.from_numpy(broken & crops.slice_labels[pair, place]).float()
    maps = torch.from_numpy(crops.fracture_maps[pair, place] * broken[:, None, None])
    images, maps = augmented(images, maps[:, None].float() / 255, generator, channels.index("mask"))
    return images, truth, maps


def _freeze_early(encoder: SliceEncoder) -> None:
    for name, parameter in encoder.backbone.named_parameters():
        early = any(name.startswith(f"blocks.{block}.") for block in range(_FROZEN_BLOCKS))
        if early or name.startswith(("conv_stem.", "bn1.")):
            parameter.requires_grad_(False)


def _keep_frozen(encoder: SliceEncoder) -> None:
    """Frozen layers also keep their batch statistics."""
    encoder.backbone.bn1.eval()
    for block in list(encoder.backbone.blocks)[:_FROZEN_BLOCKS]:
        block.eval()
