"""Batches of whole vertebrae or spines, as networks that are trained end to end take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from cspine_zoo.training.augment import posed, random_poses, revalued
from cspine_zoo.training.crop_cache import LazyShards
from cspine_zoo.training.loop import Batch, part_size
from cspine_zoo.training.mixup import mixed, shuffled
from cspine_zoo.training.recipes import EndToEndPreset
from cspine_zoo.training.records import Vertebrae, dequantised
from cspine_zoo.training.spines import Spines, truth_of

_MASK: Final = "mask"
_COUNTED_BATCHES: Final = 100


@dataclass(frozen=True, eq=False)
class CropBatches:
    """Vertebrae with their labels, each batch of one shard.

    Attributes:
        shards: of the crops.
        preset: of the row.
        spines: batches are of spines instead.
    """

    shards: LazyShards
    preset: EndToEndPreset
    spines: bool

    def __call__(self, step: int, part: int, parts: int) -> Batch:
        """Images, truth, which vertebrae are there, and truth of the patients.

        (B, S, C, H, W), (B,), (B,) and (B,); of spines (B, 7, S, C, H, W), (B, 7), (B, 7) and
        (B,). Mixed samples have shares for truth.
        """
        generator = self._generator(step, part, parts)
        vertebrae, rows = self._choice(step, part, parts, generator)
        present = torch.from_numpy(rows >= 0)
        stacks = [self._images(vertebrae, row, generator) for row in rows.ravel().tolist()]
        images = torch.stack(stacks).unflatten(0, rows.shape)
        truth = torch.from_numpy(truth_of(vertebrae.labels, rows))
        patients = truth.reshape(len(rows), -1).amax(dim=1)
        columns: Batch = (images, truth, present.float(), patients)
        preset = self.preset
        if preset.mixup_alpha > 0 and float(torch.rand((), generator=generator)) < (
            preset.mixed_share
        ):
            blend = mixed(columns, preset.mixup_alpha, generator)
            # A vertebra that only one of two spines has is no mixture.
            both = blend[2] > 1 - 1e-4
            if bool(both.reshape(len(rows), -1).any(dim=1).all()):
                return blend[0], blend[1], both, blend[3]
        return images, truth, present, patients

    def shares(self, steps: int) -> tuple[float, float]:
        """Shares of fractured vertebrae and patients in the batches of a run of ``steps``."""
        parts = self.preset.accumulate
        vertebrae, patients = [], []
        for step in range(min(steps, _COUNTED_BATCHES)):
            generator = self._generator(step, 0, parts)
            data, rows = self._choice(step, 0, parts, generator)
            truth = truth_of(data.labels, rows)
            vertebrae.append(truth[rows >= 0])
            patients.append(truth.reshape(len(rows), -1).max(axis=1))
        return float(np.concatenate(vertebrae).mean()), float(np.concatenate(patients).mean())

    def _generator(self, step: int, part: int, parts: int) -> Generator:
        seed = self.preset.seed * 1_000_003 + step
        return Generator().manual_seed(seed * 1_009 + (part if parts > 1 else 0))

    def _choice(
        self, step: int, part: int, parts: int, generator: Generator
    ) -> tuple[Vertebrae, NDArray[np.int64]]:
        data = self.shards.turn(step * parts + part, self.preset.seed)
        count = part_size(self.preset.batch, parts)
        if self.spines:
            whole = Spines(data.labels, data.levels, data.studies, data.twins)
            return data, whole.draw(count, generator)
        return data, torch.randint(len(data), (count,), generator=generator).numpy()

    def _images(self, vertebrae: Vertebrae, row: int, generator: Generator) -> Tensor:
        """One vertebra, in one pose; nothing where there is none."""
        channels = self.preset.preprocess.channels
        if row < 0:
            size = self.preset.preprocess
            return torch.zeros(
                size.n_slices or 0, len(channels), size.size_px or 0, size.size_px or 0
            )
        images = dequantised(torch.from_numpy(vertebrae.images(row)), channels)
        if self.preset.augmented:
            poses = random_poses(1, generator).expand(len(images), -1, -1)
            mask = channels.index(_MASK) if _MASK in channels else None
            images = revalued(posed(images, poses), generator, mask)
        if self.preset.shuffled_share > 0:
            (images,) = shuffled((images[None],), self.preset.shuffled_share, generator)
            return images[0]
        return images
