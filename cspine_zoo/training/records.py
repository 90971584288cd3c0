"""Training data of the classifiers: one record a vertebra, kept in shards on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.errors import UsageError

MAP_PX: Final = 32
"""Pixels along each side of a fracture map."""

_SHARDS: Final = "shard-*"


@dataclass(frozen=True, eq=False)
class VertebraRecord:
    """One vertebra of one study.

    Attributes:
        images: uint8 (S, C, H, W); intensities -1..1 and masks 0..1 on 0..255.
        label: 1 for fractured.
        level: C1 to C7.
        study: that it is of.
        twin: study that shows the same vertebra in the other state, or empty.
        slice_truth: bool (S,), slices that show the fracture.
        slice_known: bool (S,), slices of which that is known at all. A study's labels say that a
            vertebra is broken, not where; without a fracture, every slice is known to show none.
        fracture_map: uint8 (S, M, M), share of the fracture in each cell, 0..1 on 0..255, where
            the slice is known.
    """

    images: NDArray[np.uint8]
    label: int
    level: str
    study: str
    twin: str
    slice_truth: NDArray[np.bool_]
    slice_known: NDArray[np.bool_]
    fracture_map: NDArray[np.uint8]

    def __post_init__(self) -> None:
        slices = len(self.images)
        if self.slice_truth.shape != (slices,) or self.slice_known.shape != (slices,):
            raise ValueError("a record needs one truth for each slice")
        if self.fracture_map.shape != (slices, MAP_PX, MAP_PX):
            raise ValueError(f"a fracture map is {MAP_PX} x {MAP_PX} cells a slice")
        if self.label == 0 and self.slice_truth.any():
            raise ValueError("a whole vertebra shows no fracture")


def record(  # noqa: PLR0913  the columns of a record
    images: NDArray[np.uint8],
    label: int,
    level: str,
    study: str,
    twin: str = "",
    fracture_map: NDArray[np.uint8] | None = None,
    slice_truth: NDArray[np.bool_] | None = None,
) -> VertebraRecord:
    """A record whose slices are all known, or, of a fracture without a place, all unknown.

    Whole vertebrae need neither map nor slice truth.
    """
    slices = len(images)
    known = label == 0 or slice_truth is not None
    if slice_truth is None:
        slice_truth = np.zeros(slices, bool)
    if fracture_map is None:
        fracture_map = np.zeros((slices, MAP_PX, MAP_PX), np.uint8)
    return VertebraRecord(
        images, label, level, study, twin, slice_truth, np.full(slices, known), fracture_map
    )


class Vertebrae:
    """All records of a cache; images and maps stay on disk, mapped into memory.

    Attributes:
        labels: int (N,), 1 for fractured.
        levels: int (N,), 1-7.
        studies: str (N,).
        slice_truth, slice_known: bool (N, S).
        twins: int (N,), row of the same vertebra in the other state; -1 where there is none.

    Args:
        cache: directory of the shards.
        shards: those to read; all without it.

    Raises:
        UsageError: there is no record in it.
    """

    def __init__(self, cache: Path, shards: Sequence[Path] | None = None) -> None:
        if shards is None:
            shards = [path for path in sorted(cache.glob(_SHARDS)) if path.is_dir()]
        tables = [dict(np.load(path / "table.npz")) for path in shards]
        filled = [n for n, table in enumerate(tables) if len(table["labels"])]
        if not filled:
            raise no_vertebrae()
        tables = [tables[n] for n in filled]
        self._images, self._maps = (
            [np.load(shards[n] / name, mmap_mode="r") for n in filled]
            for name in ("images.npy", "maps.npy")
        )
        self._starts = np.cumsum([0, *(len(images) for images in self._images)])

        def column(name: str) -> NDArray[np.generic]:
            return np.concatenate([table[name] for table in tables])

        self.labels, self.levels = column("labels").astype(int), column("levels").astype(int)
        self.slice_truth, self.slice_known = column("slice_truth"), column("slice_known")
        self.studies = column("studies")
        rows = {
            (str(study), int(level)): row
            for row, (study, level) in enumerate(zip(self.studies, self.levels, strict=True))
        }
        self.twins = np.array(
            [
                rows.get((str(twin), int(level)), -1)
                for twin, level in zip(column("twins"), self.levels, strict=True)
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, row: int) -> NDArray[np.uint8]:
        """All slices of a vertebra, (S, C, H, W)."""
        shard, place = self._place(row)
        return np.array(self._images[shard][place])  # a copy: torch wants to write

    def slices(self, rows: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Single slices (B, C, H, W)."""
        return self._single(self._images, rows, places)

    def maps(self, rows: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Fracture maps (B, M, M) of single slices."""
        return self._single(self._maps, rows, places)

    def _place(self, row: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return shard, row - int(self._starts[shard])

    def _single(
        self,
        columns: Sequence[NDArray[np.uint8]],
        rows: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        found = []
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            shard, at = self._place(row)
            found.append(columns[shard][at, place])
        return np.stack(found)


def no_vertebrae() -> UsageError:
    """The error for data without anything to learn from."""
    return UsageError("no_vertebrae", "no vertebra of the data can be trained on.")


def is_empty(shard: Path) -> bool:
    """Whether a shard that is there holds no record."""
    return not (shard / "images.npy").exists()


def shard_path(cache: Path, number: int) -> Path:
    """Where a shard lies."""
    return cache / f"shard-{number:05d}"


def write_shard(path: Path, records: Sequence[VertebraRecord]) -> None:
    """Write records; a shard that is there is whole."""
    draft = path.with_name(f".draft-{path.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    if records:
        np.save(draft / "images.npy", np.stack([record.images for record in records]))
        np.save(draft / "maps.npy", np.stack([record.fracture_map for record in records]))
    np.savez(
        draft / "table.npz",
        labels=np.array([record.label for record in records], np.uint8),
        levels=np.array([LABEL_OF[record.level] for record in records], np.uint8),
        studies=np.array([record.study for record in records], str),
        twins=np.array([record.twin for record in records], str),
        slice_truth=np.array([record.slice_truth for record in records], bool),
        slice_known=np.array([record.slice_known for record in records], bool),
    )
    draft.rename(path)


def quantised(images: NDArray[np.float32], channels: Sequence[str]) -> NDArray[np.uint8]:
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
