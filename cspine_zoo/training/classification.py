"""Training of the slice classifiers' heads, on the features of one trained encoder."""

from __future__ import annotations

import logging
import math
from typing import Final

import torch
from torch import Generator, Tensor
from torch.nn import functional

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.registry import build
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.synthetic.fracture import FIRST_LEVEL_ODDS
from cspine_zoo.training.augment import posed, random_poses, revalued
from cspine_zoo.training.crop_cache import Crops, dequantised
from cspine_zoo.training.loop import Schedule
from cspine_zoo.training.presets import ClassifierPreset

LOG: Final = logging.getLogger(__name__)

PREVALENCE: Final = sum(FIRST_LEVEL_ODDS) / len(FIRST_LEVEL_ODDS)
"""Share of fractured vertebrae in RSNA 2022's training studies, 10.2 %."""


def train_head(
    preset: ClassifierPreset, encoder: SliceEncoder, features: Tensor, truth: Tensor, slices: Tensor
) -> SliceClassifier:
    """Train sequence model, pooling and head on the features of a trained encoder.

    Args:
        preset: of the row.
        encoder: copied, frozen.
        features: (V, N, S, F) of V views of N vertebrae.
        truth: (N,) 1 for fractured.
        slices: (N, S) 1 where the fracture shows.
    """
    torch.manual_seed(preset.seed)
    network = _network(preset)
    network.encoder.load_state_dict(encoder.state_dict())
    head = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.AdamW(head, lr=preset.head_rate, weight_decay=preset.weight_decay)
    steps = preset.head_passes * len(truth) // preset.batch
    schedule = Schedule(steps, preset.head_rate, preset.weight_decay, preset.ema)
    generator = Generator().manual_seed(preset.seed)
    network.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        chosen = torch.randint(len(truth), (preset.batch,), generator=generator)
        view = torch.randint(len(features), (preset.batch,), generator=generator)
        batch = functional.dropout(features[view, chosen], 0.2)
        output = network.score(batch)
        loss = functional.binary_cross_entropy_with_logits(output.logit, truth[chosen])
        loss = loss + 0.5 * functional.binary_cross_entropy_with_logits(
            output.slice_logits, slices[chosen]
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 200 == 0:
            LOG.info("%s: step %d/%d loss %.4f", preset.name, step, steps, float(loss.detach()))
    _shift_prior(network, float(truth.mean()))
    return network.eval()


def _shift_prior(network: SliceClassifier, trained_share: float) -> None:
    """Move the head's bias from the share of fractures in training to that among patients.

    The weights of a vertebra's slices sum to 1, so its logit moves by the same amount.
    """
    odds = math.log(PREVALENCE / (1 - PREVALENCE)) - math.log(trained_share / (1 - trained_share))
    with torch.no_grad():
        network.head.bias.add_(odds)


@torch.inference_mode()
def encoder_features(
    encoder: SliceEncoder, crops: Crops, preset: ClassifierPreset, views: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Features of every crop, broken and whole, under ``views`` augmentations (the first is none).

    Returns:
        Features (V, 2P, S, F), truth (2P,), slice truth (2P, S).
    """
    encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels = preset.preprocess.channels
    generator = Generator().manual_seed(preset.seed)
    stacks = []
    for view in range(views):
        rows = []
        for pair in crops.images:
            for images in pair:
                tensor = dequantised(torch.from_numpy(images), channels)
                if view:
                    poses = random_poses(1, generator).expand(len(tensor), -1, -1)
                    moved = posed(tensor, poses)
                    tensor = revalued(moved, generator, channels.index("mask"))
                tensor = tensor.contiguous(memory_format=torch.channels_last)
                rows.append(encoder(tensor[None])[0])
        stacks.append(torch.stack(rows))
        LOG.info("features of view %d of %d", view + 1, views)
    pairs = len(crops.images)
    truth = torch.tensor([1.0, 0.0]).repeat(pairs)
    slices = torch.zeros(2 * pairs, crops.slice_labels.shape[1])
    slices[0::2] = torch.from_numpy(crops.slice_labels).float()
    return torch.stack(stacks), truth, slices


def _network(preset: ClassifierPreset) -> SliceClassifier:
    network = build(preset.architecture, preset.arguments)
    if not isinstance(network, SliceClassifier):
        raise UsageError("wrong_preset", f"{preset.name} is no slice classifier")
    return network
