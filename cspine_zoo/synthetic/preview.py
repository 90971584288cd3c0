"""A contact sheet of synthetic studies, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cspine_zoo.synthetic.study import SyntheticStudy

_LOW_HU, _HIGH_HU = -500.0, 1300.0
_TILE_PX = 220


def write_preview(studies: Sequence[SyntheticStudy], path: Path) -> None:
    """One row a study: sagittal, coronal, and axial slices through C1, C2, C4, C6 and T1.

    Args:
        studies: at least one.
        path: PNG to write.
    """
    rows = [np.concatenate([_tile(plane) for plane in _planes(study)], axis=1) for study in studies]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def _planes(study: SyntheticStudy) -> list[Image.Image]:
    geometry, scene = study.geometry, study.scene
    limit = np.array(geometry.shape) - 1
    i, j, _ = np.clip(np.round(geometry.to_voxel(scene.world("C4"))), 0, limit).astype(int)
    width, depth, height = (n * s for n, s in zip(geometry.shape, geometry.spacing_mm, strict=True))
    planes = [
        _picture(study.hu[i].T[::-1, ::-1], (depth, height)),
        _picture(study.hu[:, j].T[::-1, ::-1], (width, height)),
    ]
    for level in ("C1", "C2", "C4", "C6", "T1"):
        k = int(np.clip(np.round(geometry.to_voxel(scene.world(level))[2]), 0, limit[2]))
        planes.append(_picture(study.hu[:, :, k].T[::-1, ::-1], (width, depth)))
    return planes


def _picture(hu: np.ndarray, size_mm: tuple[float, float]) -> Image.Image:
    """Anterior to the left or up, the patient's right on the left."""
    grey = ((hu - _LOW_HU) / (_HIGH_HU - _LOW_HU)).clip(0, 1) * 255
    image = Image.fromarray(grey.astype(np.uint8))
    return image.resize((max(1, round(size_mm[0])), max(1, round(size_mm[1]))))


def _tile(image: Image.Image) -> np.ndarray:
    tile = Image.new("L", (_TILE_PX, _TILE_PX))
    image.thumbnail((_TILE_PX, _TILE_PX))
    tile.paste(image, ((_TILE_PX - image.width) // 2, (_TILE_PX - image.height) // 2))
    return np.asarray(tile)
