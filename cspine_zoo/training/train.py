"""One command for one row: data, training, and a checkpoint that loads by its path."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from cspine_zoo import __version__
from cspine_zoo.errors import UsageError
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.synthetic.patches import Anatomy
from cspine_zoo.training.classification import (
    Features,
    encoder_features,
    train_head,
    untrained_classifier,
)
from cspine_zoo.training.crop_cache import RecordSource, make_shards
from cspine_zoo.training.devices import Devices, is_first
from cspine_zoo.training.end_to_end import EndToEndTask, train_end_to_end
from cspine_zoo.training.localization import LocalizerTask, train_localizer
from cspine_zoo.training.loop import write_weights
from cspine_zoo.training.recipes import (
    CropPreset,
    EndToEndPreset,
    LocalizerPreset,
    Preset,
    SegmenterPreset,
    SharedEncoderPreset,
)
from cspine_zoo.training.records import Vertebrae
from cspine_zoo.training.rows import Provenance, trained_row
from cspine_zoo.training.segmentation import (
    PatchSource,
    SegmenterTask,
    SyntheticPatches,
    train_segmenter,
)
from cspine_zoo.training.slice_encoder import ENCODER_ARGUMENTS, EncoderTask, train_encoder
from cspine_zoo.training.start import Start, read_start
from cspine_zoo.training.synthetic_crops import SyntheticCrops
from cspine_zoo.training.task import trained
from cspine_zoo.zoo import checkpoint

if TYPE_CHECKING:  # reading studies needs libraries that synthetic CT does without
    from cspine_zoo.training.rsna_data import RsnaData

LOG: Final = logging.getLogger(__name__)

_VIEWS: Final = 2
"""Augmented views of each crop that the heads learn from, besides dropout of features."""

_HEAD_ONLY: Final = frozenset(
    {
        "name",
        "architecture",
        "arguments",
        "head_passes",
        "head_rate",
        "save_every",
        "weights",
        "shuffled_share",
        "source",
    }
)
"""Fields of a preset that neither crops nor encoder depend on."""

_OF_CROPS: Final = frozenset({"preprocess", "segmenter", "seed", "families", "family_share"})
"""Fields that crops depend on; how many shards there are changes none of them."""


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        preset: of the row.
        out: directory of everything the run writes; rows trained in the same one share crops
            and encoder, as long as these are of the same recipe.
        data: studies in RSNA 2022's layout; without it synthetic CT.
        segmenter: model whose masks cut the crops, or ``"truth"`` for the studies' own masks, made
            as rough as predicted ones; without it the row's.
        anatomies: label maps whose vertebra shapes are mixed into synthetic CT.
        start: model whose weights to begin from.
        devices: to compute on.
        resume: go on where an earlier run in ``out`` stopped.
        workers: processes that render, read or make batches.
        command: how it was called, for the model card.
    """

    preset: Preset
    out: Path
    data: Path | None = None
    segmenter: str | None = None
    anatomies: Sequence[Path] = ()
    start: str | os.PathLike[str] | None = None
    devices: Devices = field(default_factory=Devices)
    resume: bool = False
    workers: int = 1
    command: str = ""

    def __post_init__(self) -> None:
        if self.data is not None and self.anatomies:
            raise UsageError("unused_option", "label maps lend shapes to synthetic CT alone.")
        if self.data is None and self.segmenter is not None:
            raise UsageError("unused_option", "crops of synthetic CT are cut by masks at hand.")


def train(job: Job) -> Path:
    """Train a row.

    Returns:
        ``OUT/NAME.safetensors``, with its manifest row inside. Under torchrun it is there when
        the first process is done.

    Raises:
        UsageError: an option does not fit, or an anatomy cannot be used.
        StudyRejected: ``data`` is not in RSNA's layout.
        TrainingStopped: the loss is no longer finite.
    """
    began = time.monotonic()
    job.out.mkdir(parents=True, exist_ok=True)
    start = None if job.start is None else read_start(job.start, job.preset)
    studies = _studies(job)
    anatomies = [] if studies else _shapes(job.anatomies)
    path = job.out / f"{job.preset.name}.safetensors"
    network = (
        _train_segmenter(job.preset, job, start, studies or anatomies)
        if isinstance(job.preset, SegmenterPreset)
        else _train_on_crops(job.preset, job, start, studies or anatomies)
    )
    if network is not None:
        provenance = Provenance(
            job.command or f"cspine-zoo train {job.preset.name}",
            _hardware(job.devices),
            (time.monotonic() - began) / 60,
            [anatomy.name for anatomy in job.anatomies],
            studies.text if studies else "",
            start.text if start else "",
        )
        row = trained_row(job.preset, provenance)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        checkpoint.write(network, replace(row, parameters=parameters), path)
    return path


def _train_segmenter(
    preset: SegmenterPreset, job: Job, start: Start | None, data: RsnaData | list[Anatomy]
) -> nn.Module | None:
    out = job.out / preset.name
    source: PatchSource = (
        SyntheticPatches(preset, data)
        if isinstance(data, list)
        else data.patches(preset, out / "volumes")
    )
    task = SegmenterTask(preset, source, **_place(job, start))
    return trained(job.devices, train_segmenter, task, preset)


def _train_on_crops(
    preset: CropPreset, job: Job, start: Start | None, data: RsnaData | list[Anatomy]
) -> nn.Module | None:
    source: RecordSource
    if isinstance(data, list):
        source = SyntheticCrops(
            preset.preprocess,
            data,
            preset.seed,
            preset.shards,
            preset.families,
            preset.family_share,
        )
        origin = [path.read_bytes() for path in job.anatomies]
    else:
        source = data.crops(preset, job.segmenter, job.devices.own)
        origin = [data.fingerprint(source)]
    if isinstance(preset, EndToEndPreset):
        return _train_end_to_end(preset, job, start, source, origin)
    if isinstance(preset, LocalizerPreset):
        return _train_localizer(preset, job, start, source, origin)
    if isinstance(preset, SharedEncoderPreset):
        return _train_shared_encoder(preset, job, start, source, origin)
    raise UsageError("wrong_preset", f"there is no way to train {preset.name}")


def _train_end_to_end(
    preset: EndToEndPreset,
    job: Job,
    start: Start | None,
    source: RecordSource,
    origin: Sequence[bytes],
) -> nn.Module | None:
    cache = job.out / f"crops-{crop_fingerprint(preset, origin)}"
    task = EndToEndTask(preset, source, cache, **_place(job, start))
    LOG.info("crops will take up to %.1f GB in %s", task.crop_bytes / 1e9, task.cache.name)
    if job.data is not None:  # a segmenter may need the device, which processes of a loader lack
        make_shards(task.cache, source, job.workers)
    return trained(job.devices, train_end_to_end, task, preset)


def _train_localizer(
    preset: LocalizerPreset,
    job: Job,
    start: Start | None,
    source: RecordSource,
    origin: Sequence[bytes],
) -> nn.Module | None:
    cache = job.out / f"crops-{crop_fingerprint(preset, origin)}"
    make_shards(cache, source, job.workers)
    whole = start is None or start.whole
    task = LocalizerTask(
        preset,
        cache,
        encoder=None if start is None or whole else start.encoder(),
        **_place(job, start if whole else None),
    )
    return trained(job.devices, train_localizer, task, preset)


def _place(job: Job, start: Start | None) -> dict[str, Any]:
    """Where a row's own task runs, and from what."""
    return {
        "out": job.out / job.preset.name,
        "start": start.weights if start else None,
        "resume": job.resume,
        "workers": job.workers,
    }


def _train_shared_encoder(
    preset: SharedEncoderPreset,
    job: Job,
    start: Start | None,
    source: RecordSource,
    origin: Sequence[bytes],
) -> nn.Module | None:
    if start is not None:
        origin = [*origin, start.encoder_digest()]
    shared = job.out / f"shared-{fingerprint(preset, origin)}"
    vertebrae = make_shards(shared / "crops", source, job.workers)
    LOG.info("%d vertebrae, %d fractured", len(vertebrae), int(vertebrae.labels.sum()))
    task = EncoderTask(
        preset,
        shared / "crops",
        out=shared / "encoder",
        start=start.encoder() if start else None,
        resume=job.resume,
        workers=job.workers,
    )
    staying = None if vertebrae.slice_truth.any() else start
    if not task.result.exists():
        if staying is not None:
            LOG.info("no slice is known to show a fracture: the encoder stays as it is")
            task.out.mkdir(parents=True, exist_ok=True)
            write_weights(staying.encoder(), task.result)
        else:
            job.devices.run(train_encoder, task)
    if not is_first():
        return None
    network = untrained_classifier(preset)
    if staying is not None and staying.whole:
        # Where the encoder learns on, the old head has read other features: a new one is better.
        network.load_state_dict(staying.weights)
    network.encoder.load_state_dict(torch.load(task.result, weights_only=True))
    features = _features(network, vertebrae, preset, shared / "features.pt", job.devices)
    return train_head(
        job.devices.alone(), preset, network, features, shared / preset.name, resume=job.resume
    )


def _features(
    network: SliceClassifier,
    vertebrae: Vertebrae,
    preset: SharedEncoderPreset,
    path: Path,
    devices: Devices,
) -> Features:
    """Kept on disk: the rows that share an encoder share them."""
    if path.exists():
        return Features(**torch.load(path, weights_only=True))
    features = encoder_features(network.encoder, vertebrae, preset, _VIEWS, devices.kind)
    write_weights(vars(features), path)
    return features


def fingerprint(preset: SharedEncoderPreset, origin: Sequence[bytes]) -> str:
    """Names what crops, encoder and features were made from: a changed preset makes new ones."""
    recipe = {name: value for name, value in vars(preset).items() if name not in _HEAD_ONLY}
    recipe["encoder"] = {key: preset.arguments[key] for key in ENCODER_ARGUMENTS}
    recipe["families"] = sorted(preset.families)
    return _digest(recipe, origin)


def crop_fingerprint(preset: CropPreset, origin: Sequence[bytes]) -> str:
    """Names what crops alone were made from: rows that take them alike share them."""
    recipe = {name: value for name, value in vars(preset).items() if name in _OF_CROPS}
    recipe["families"] = sorted(preset.families)
    return _digest(recipe, origin)


def _digest(recipe: Mapping[str, object], origin: Sequence[bytes]) -> str:
    digest = hashlib.sha256(repr((__version__, sorted(recipe.items()))).encode())
    for part in origin:
        digest.update(part)
    return digest.hexdigest()[:12]


def _studies(job: Job) -> RsnaData | None:
    if job.data is None:
        return None
    from cspine_zoo.training.rsna_data import read_data

    return read_data(job.data, job.out, job.preset.seed)


def _shapes(anatomies: Sequence[Path]) -> list[Anatomy]:
    if not anatomies:
        return []
    from cspine_zoo.synthetic.label_shapes import read_shapes

    return [read_shapes(path) for path in anatomies]


def _hardware(devices: Devices) -> str:
    if devices.kind.type == "cuda":
        return f"{devices.processes} x {torch.cuda.get_device_name()}"
    threads = f"{torch.get_num_threads()} CPU threads ({platform.machine()})"
    return threads if devices.processes == 1 else f"{devices.processes} processes of {threads}"
