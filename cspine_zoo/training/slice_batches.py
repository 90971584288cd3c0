"""Batches of single slices whose truth is known, for networks that learn slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from cspine_zoo.errors import UsageError
from cspine_zoo.training.augment import augmented
from cspine_zoo.training.loop import Batch, part_size
from cspine_zoo.training.mixup import mixed
from cspine_zoo.training.recipes import CropPreset
from cspine_zoo.training.records import Vertebrae, dequantised

FULL_CELL: Final = 0.25
"""A cell of a fracture map counts as fractured in full from this share of fracture on."""


def slice_steps(vertebrae: Vertebrae, passes: int, batch: int) -> int:
    """Steps of ``passes`` epochs over the fractured slices and as many others.

    Raises:
        UsageError: no slice is known to show a fracture.
    """
    positives = int(vertebrae.slice_truth.sum())
    if not positives:
        raise UsageError(
            "no_slice_truth",
            "no slice is known to show a fracture.",
            hint="That takes studies with boxes, synthetic CT, or --start with a trained model.",
        )
    return max(1, passes * 2 * positives // batch)


def loader_processes(asked: int, device: torch.device) -> int:
    """Of those asked for, none beside a network that fills the CPU: a batch costs it little."""
    return 0 if device.type == "cpu" else asked


@dataclass(frozen=True)
class SliceBatches:
    """Slices with known truth: a quarter fractured, a quarter their twins, the rest any.

    Where a fractured vertebra has no twin, a slice without fracture of the same level, of
    another study, stands in. Real studies do not say of every broken vertebra on which slices
    it shows; slices of which that is not known are not drawn. A slice and its twin are augmented
    alike, so that what differs between their gradients is the fracture.

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
        pairs = max(1, count // 4)
        rows, places = self._choice(pairs, count - 2 * pairs, generator)
        channels = self.preset.preprocess.channels
        data = self.vertebrae
        images = dequantised(torch.from_numpy(data.slices(rows, places)), channels)
        maps = torch.from_numpy(data.maps(rows, places))[:, None].float() / 255
        truth = torch.from_numpy(data.slice_truth[rows, places]).float()
        images, maps = _alike(images, maps, pairs, generator, channels.index("mask"))
        if self.preset.mixup_alpha > 0:
            return mixed((images, truth, maps), self.preset.mixup_alpha, generator)
        return images, truth, maps

    def _choice(
        self, pairs: int, others: int, generator: Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and places of the fractured slices, of their twins, then of the others."""
        data = self.vertebrae
        positives, known = np.argwhere(data.slice_truth), np.argwhere(data.slice_known)
        pick = positives[_below(len(positives), pairs, generator)]
        twins = np.stack(
            [self._twin(int(row), int(place), generator) for row, place in pick], axis=0
        )
        rest = known[_below(len(known), others, generator)]
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


def _alike(
    images: Tensor, maps: Tensor, pairs: int, generator: Generator, mask_channel: int
) -> tuple[Tensor, Tensor]:
    """Augmented: the second ``pairs`` of images with the random numbers of the first."""
    sizes = (pairs, pairs, len(images) - 2 * pairs)
    made = [
        augmented(some, places, source, mask_channel)
        for some, places, source in zip(
            images.split(sizes),
            maps.split(sizes),
            (generator.clone_state(), generator, generator),
            strict=True,
        )
        if len(some)
    ]
    return torch.cat([image for image, _ in made]), torch.cat([places for _, places in made])


def _generator(seed: int, step: int, part: int, parts: int) -> Generator:
    """Of one part of a step's batch; undivided batches keep the first one."""
    whole = seed * 1_000_003 + step
    return Generator().manual_seed(whole if parts == 1 else whole * 1_009 + part)


def _below(bound: int, count: int, generator: Generator) -> NDArray[np.int64]:
    return torch.randint(bound, (count,), generator=generator).numpy()
