"""One command for one row: data, training, and a checkpoint that loads by its path."""

from __future__ import annotations

import hashlib
import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import nn

from cspine_zoo import __version__
from cspine_zoo.errors import UsageError
from cspine_zoo.synthetic.label_shapes import read_shapes
from cspine_zoo.synthetic.patches import Anatomy
from cspine_zoo.training.classification import encoder_features, train_head
from cspine_zoo.training.crop_cache import make_crops, read_crops
from cspine_zoo.training.presets import PRESETS, ClassifierPreset, SegmenterPreset
from cspine_zoo.training.rows import Provenance, classifier_row, segmenter_row
from cspine_zoo.training.segmentation import train_segmenter
from cspine_zoo.training.slice_encoder import ENCODER_ARGUMENTS, train_encoder, untrained_encoder
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.manifest import ManifestEntry

LOG: Final = logging.getLogger(__name__)

_VIEWS: Final = 2
"""Augmented views of each crop that the heads learn from, besides dropout of features."""


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        preset: name of the row.
        out: directory of everything the run writes; rows trained in the same one share crops
            and encoder, as long as these are of the same recipe.
        anatomies: label maps whose vertebra shapes are mixed in.
        resume: go on where an earlier run in ``out`` stopped.
        workers: processes that render.
        command: how it was called, for the model card.
    """

    preset: str
    out: Path
    anatomies: Sequence[Path] = ()
    resume: bool = False
    workers: int = 1
    command: str = ""


def train(job: Job) -> Path:
    """Train a row on synthetic CT.

    Returns:
        ``OUT/NAME.safetensors``, with its manifest row inside.

    Raises:
        UsageError: there is no such preset, or an anatomy cannot be used.
        TrainingStopped: the loss is no longer finite.
    """
    preset = PRESETS.get(job.preset)
    if preset is None:
        raise UsageError(
            "unknown_preset", f"no preset {job.preset!r}", hint=f"Known: {', '.join(PRESETS)}."
        )
    job.out.mkdir(parents=True, exist_ok=True)
    anatomies = [read_shapes(path) for path in job.anatomies]
    started = time.monotonic()
    network: nn.Module
    if isinstance(preset, SegmenterPreset):
        network = train_segmenter(
            preset, job.out / preset.name, anatomies, resume=job.resume, workers=job.workers
        )
    else:
        network = _train_classifier(preset, job, anatomies)
    minutes = (time.monotonic() - started) / 60
    row = _row(preset, job, minutes)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    path = job.out / f"{preset.name}.safetensors"
    checkpoint.write(network, replace(row, parameters=parameters), path)
    return path


def _row(preset: SegmenterPreset | ClassifierPreset, job: Job, minutes: float) -> ManifestEntry:
    hardware = f"{torch.get_num_threads()} CPU threads ({platform.machine()})"
    anatomies = [path.name for path in job.anatomies]
    provenance = Provenance(
        job.command or f"cspine-zoo train {preset.name}", hardware, minutes, anatomies
    )
    if isinstance(preset, SegmenterPreset):
        return segmenter_row(preset, provenance)
    return classifier_row(preset, provenance)


def _train_classifier(
    preset: ClassifierPreset, job: Job, anatomies: Sequence[Anatomy]
) -> nn.Module:
    shared = job.out / f"shared-{_fingerprint(preset, job)}"
    make_crops(
        shared / "crops",
        range(preset.shards),
        preset.preprocess,
        anatomies,
        seed=preset.seed,
        workers=job.workers,
    )
    crops = read_crops(shared / "crops")
    LOG.info("%d vertebrae, each broken and whole", len(crops.images))
    stored = shared / "encoder.pt"
    if stored.exists():
        encoder = untrained_encoder(preset)
        encoder.load_state_dict(torch.load(stored, weights_only=True))
    else:
        encoder = train_encoder(preset, crops, shared / "encoder", resume=job.resume)
        torch.save(encoder.state_dict(), stored)
    features_file = shared / "features.pt"
    if features_file.exists():
        features, truth, slices = torch.load(features_file, weights_only=True)
    else:
        features, truth, slices = encoder_features(encoder, crops, preset, _VIEWS)
        torch.save((features, truth, slices), features_file)
    return train_head(preset, encoder, features, truth, slices)


def _fingerprint(preset: ClassifierPreset, job: Job) -> str:
    """Names what crops, encoder and features were made from: a changed preset makes new ones."""
    own_to_a_row = {"name", "architecture", "arguments", "head_passes", "head_rate"}
    recipe = {field: value for field, value in vars(preset).items() if field not in own_to_a_row}
    recipe["encoder"] = {key: preset.arguments[key] for key in ENCODER_ARGUMENTS}
    recipe["version"] = __version__
    digest = hashlib.sha256(repr(sorted(recipe.items())).encode())
    for path in job.anatomies:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
