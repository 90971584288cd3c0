"""A classifier that trains in minutes, for questions about the data rather than the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.training.classification import encoder_features, train_head, untrained_classifier
from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.recipes import SharedEncoderPreset
from cspine_zoo.training.records import Vertebrae, VertebraRecord, dequantised, write_shard
from cspine_zoo.training.slice_encoder import EncoderTask, train_encoder


def small_preset(size_px: int, passes: int) -> SharedEncoderPreset:
    """The first row's recipe on smaller crops, for fewer passes."""
    crops = replace(LIGHT[0].preprocess, size_px=size_px, n_slices=9)
    return replace(LIGHT[0], preprocess=crops, encoder_passes=passes, batch=32, head_passes=20)


def trained(
    preset: SharedEncoderPreset, records: Sequence[VertebraRecord], folder: Path
) -> SliceClassifier:
    """Encoder and head, one after the other, on the CPU."""
    (folder / "crops").mkdir(parents=True)
    write_shard(folder / "crops" / "shard-00000", list(records))
    devices = Devices(1)
    task = EncoderTask(preset, folder / "crops", out=folder / "encoder", workers=0)
    devices.run(train_encoder, task)
    network = untrained_classifier(preset)
    network.encoder.load_state_dict(torch.load(task.result, weights_only=True))
    seen = Vertebrae(folder / "crops")
    learnt = encoder_features(network.encoder, seen, preset, 1, devices.kind)
    return train_head(devices.alone(), preset, network, learnt, folder / "head").eval()


def logits(
    network: nn.Module, images: Sequence[NDArray[np.uint8]], channels: Sequence[str]
) -> NDArray[np.float64]:
    """One logit for each stack of crops (S, C, H, W)."""
    found = []
    with torch.inference_mode():
        for stack in images:
            crop = dequantised(torch.from_numpy(stack), channels)
            found.append(float(network(crop[None]).logit[0]))
    return np.array(found)
