"""Crops of synthetic vertebrae, made once and kept in shards, so that an epoch renders nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.synthetic.patches import Anatomy
from cspine_zoo.training.crop_pairs import draw_crop_pairs

LOG: Final = logging.getLogger(__name__)

SCENES_A_SHARD: Final = 8
_VISIBLE_MM2: Final = 6.0
"""A slice counts as fractured from this area of fracture on."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Pairs of crops, broken and whole.

    Attributes:
        images: uint8 (P, 2, S, C, H, W); intensities -1..1 and masks 0..1 on 0..255.
        fracture_maps: uint8 (P, S, M, M), share of the fracture in each cell of the broken
            crop, 0..1 on 0..255.
        slice_labels: bool (P, S), slices of the broken crop that show the fracture.
        levels: int (P,) labels 1-7.
        seeds: int (P,) of the scenes.
    """

    images: np.ndarray
    fracture_maps: np.ndarray
    slice_labels: np.ndarray
    levels: np.ndarray
    seeds: np.ndarray


def make_crops(
    out: Path,
    shards: range,
    preprocess: Preprocess,
    anatomies: Sequence[Anatomy],
    *,
    seed: int,
    workers: int = 1,
) -> None:
    """Render the shards that are not there yet.

    Args:
        out: directory of the cache.
        shards: their numbers; each holds ``SCENES_A_SHARD`` patients with seven vertebrae each.
        preprocess: of the classifier.
        anatomies: shapes from label maps.
        seed: of the set; same seed and number, same shard.
        workers: processes.
    """
    out.mkdir(parents=True, exist_ok=True)
    missing = [number for number in shards if not _path(out, number).exists()]
    job = partial(_make_shard, out, preprocess, anatomies, seed)
    if workers <= 1:
        for number in missing:
            job(number)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number in pool.map(job, missing):
            LOG.info("shard %d of %d", number, shards.stop)


def read_crops(out: Path) -> Crops:
    """All shards of a cache, in order."""
    columns: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(Crops)}
    for path in sorted(out.glob("crops-*.npz")):
        with np.load(path) as shard:
            for name, column in columns.items():
                column.append(shard[name])
    return Crops(**{name: np.concatenate(column) for name, column in columns.items()})


def _path(out: Path, number: int) -> Path:
    return out / f"crops-{number:05d}.npz"


def _make_shard(
    out: Path, preprocess: Preprocess, anatomies: Sequence[Anatomy], seed: int, number: int
) -> int:
    torch.set_num_threads(1)
    images, maps, labels, levels, seeds = [], [], [], [], []
    height, width = preprocess.crop_mm or (0.0, 0.0)
    for scene in range(number * SCENES_A_SHARD, (number + 1) * SCENES_A_SHARD):
        for pair in draw_crop_pairs(seed * 1_000_003 + scene, preprocess, anatomies):
            visible = pair.fracture_map.mean(axis=(1, 2)) * height * width > _VISIBLE_MM2
            if not visible.any():
                continue  # the cut missed the bone: there is no fracture to see
            images.append(quantised(pair.images, preprocess.channels))
            maps.append((pair.fracture_map * 255).round().astype(np.uint8))
            labels.append(visible)
            levels.append(LABEL_OF[pair.level])
            seeds.append(pair.seed)
    draft = _path(out, number).with_suffix(".draft")
    with draft.open("wb") as file:
        np.savez(
            file,
            images=np.stack(images),
            fracture_maps=np.stack(maps),
            slice_labels=np.stack(labels),
            levels=np.array(levels),
            seeds=np.array(seeds),
        )
    draft.replace(_path(out, number))
    return number


def quantised(images: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """Crops (..., C, H, W) as uint8."""
    unit = np.stack(
        [
            images[..., i, :, :] if name == "mask" else (images[..., i, :, :] + 1) / 2
            for i, name in enumerate(channels)
        ],
        axis=-3,
    )
    return np.asarray((unit * 255).round().clip(0, 255).astype(np.uint8))


def dequantised(images: torch.Tensor, channels: Sequence[str]) -> torch.Tensor:
    """Undo ``quantised``."""
    unit = images.float() / 255
    scale = torch.tensor([1.0 if name == "mask" else 2.0 for name in channels])[:, None, None]
    offset = torch.tensor([0.0 if name == "mask" else -1.0 for name in channels])[:, None, None]
    return unit * scale + offset
