"""Patches for the segmenter from studies whose vertebrae are labelled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import StudyRejected, UsageError
from cspine_zoo.preprocess.resample import resample
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.masks import read_label_map
from cspine_zoo.synthetic.patches import Patch
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.training.segmentation import UNKNOWN

LOG: Final = logging.getLogger(__name__)

Spacing = tuple[float, float, float]

_AIR_HU: Final = -1024
_ANYWHERE_SHARE: Final = 0.15
_SPREAD_MM: Final = np.array([14.0, 16.0, 22.0])
"""Standard deviation of a window's centre around a labelled voxel."""


@dataclass(frozen=True)
class RsnaPatches:
    """Random windows of studies on the segmenter's grid.

    Attributes:
        volumes: files that ``make_volumes`` wrote.
        spacing_mm: of their grid, along I, J and K.
    """

    volumes: Sequence[Path]
    spacing_mm: Spacing
    discs_known: bool = False

    def patch(self, seed: int, shape: tuple[int, int, int]) -> Patch:
        """One window, mirrored or not, at a random brightness; same seed, same window."""
        rng = stream(seed, "study-patch")
        with np.load(self.volumes[int(rng.integers(len(self.volumes)))]) as volume:
            hu, labels = volume["hu"], volume["labels"]
        start = _centre(rng, labels, self.spacing_mm) - np.array(shape) // 2
        hu, labels = _window(hu, start, shape, _AIR_HU), _window(labels, start, shape, 0)
        if rng.random() < 0.5:
            hu, labels = hu[::-1], labels[::-1]
        values = hu.astype(np.float32) * rng.uniform(0.93, 1.07) + rng.normal(0, 12)
        return Patch(
            torch.from_numpy(np.ascontiguousarray(values, np.float32)),
            torch.from_numpy(np.ascontiguousarray(labels)),
        )


def make_volumes(rows: Sequence[StudyRow], folder: Path, spacing_mm: Spacing) -> list[Path]:
    """Bring every study that has a label map onto the segmenter's grid, once.

    Raises:
        UsageError: no study can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    volumes = []
    for row in rows:
        if row.segmentation is None:
            continue
        path = folder / f"{row.uid}.npz"
        try:
            with FileLock(folder / f".{row.uid}.lock"):  # processes of torchrun share the folder
                if not path.exists():
                    _make_volume(row, row.segmentation, path, spacing_mm)
        except StudyRejected as error:
            LOG.warning("study %s is left out: %s", row.uid, error)
            continue
        volumes.append(path)
    if not volumes:
        raise UsageError(
            "no_masks",
            "no study of the data has a label map that can be used.",
            hint="A segmenter needs segmentations/UID.nii.",
        )
    return volumes


def _make_volume(row: StudyRow, segmentation: Path, path: Path, spacing_mm: Spacing) -> None:
    ct = read_ct(row.images)
    grid = ct.geometry.with_spacing(spacing_mm)
    labels = read_label_map(segmentation, grid)
    used = np.flatnonzero(labels.any(axis=(0, 1)))
    if not used.size:
        raise StudyRejected("mask_empty", "the label map holds no vertebra.")
    if used[0] > 1:
        # Annotators stop at some thoracic level: what lies below is bone without a label.
        labels[:, :, : used[0]] = UNKNOWN
    hu = resample(ct.voxels, ct.geometry, grid).round().astype(np.int16)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        np.savez_compressed(file, hu=hu, labels=labels)
    draft.replace(path)


def _centre(
    rng: np.random.Generator, labels: NDArray[np.uint8], spacing_mm: Spacing
) -> NDArray[np.int64]:
    if rng.random() < _ANYWHERE_SHARE:
        return rng.integers(0, labels.shape)
    bone = np.argwhere((labels > 0) & (labels != UNKNOWN))
    around = rng.normal(0, _SPREAD_MM) / spacing_mm
    return np.asarray(bone[rng.integers(len(bone))] + around.round().astype(int))


def _window(
    volume: NDArray[np.generic], start: NDArray[np.int64], shape: tuple[int, int, int], fill: int
) -> NDArray[np.generic]:
    """A part of a volume, filled up where it reaches beyond."""
    window = np.full(shape, fill, volume.dtype)
    low = np.maximum(start, 0)
    high = np.minimum(start + np.array(shape), volume.shape)
    if (high > low).all():
        source = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        target = tuple(
            slice(int(a), int(b)) for a, b in zip(low - start, high - start, strict=True)
        )
        window[target] = volume[source]
    return window
