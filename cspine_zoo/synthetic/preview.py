"""A contact sheet of synthetic studies, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.synthetic.study import SyntheticStudy

_LEVEL_HU, _WIDTH_HU = 400.0, 1800.0
_TILE_PX: Final = 240
_AXIAL_MM: Final = 100.0
"""Side of the axial pictures: a vertebra with what lies around it."""

_CAPTION_PX: Final = 16
_USUAL: Final = ("C1", "C2", "C4", "C5", "C6", "C7")
"""Levels that are shown where no fracture asks for others."""

_AXIALS: Final = 4


def write_preview(studies: Sequence[SyntheticStudy], path: Path) -> None:
    """One row a study: sagittal and coronal through C4, then axial slices.

    Fractured levels in view come first, with a red caption, then others from C1 down. Pictures are
    seen as in radiology: anterior to the left or up, the patient's right on the left.

    Args:
        studies: at least one.
        path: PNG to write.
    """
    rows = [np.concatenate([np.asarray(tile) for tile in _tiles(study)], 1) for study in studies]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


def _tiles(study: SyntheticStudy) -> list[Image.Image]:
    geometry = study.geometry
    i, j, _ = np.clip(
        np.round(geometry.to_voxel(study.scene.world("C4"))), 0, np.array(geometry.shape) - 1
    ).astype(int)
    width, depth, height = (n * s for n, s in zip(geometry.shape, geometry.spacing_mm, strict=True))
    thickness = f"{geometry.spacing_mm[2]:.1f} mm, seed {study.scene.seed}"
    tiles = [
        _tile(study.hu[i].T[::-1, ::-1], (depth, height), f"sagittal, {thickness}"),
        _tile(study.hu[:, j].T[::-1, ::-1], (width, height), "coronal"),
    ]
    broken = {level for level, flag in study.levels().items() if flag}
    for level in _levels_to_show(study, broken):
        tiles.append(_axial(study, level, level in broken))
    tiles += [Image.new("RGB", (_TILE_PX, _TILE_PX))] * (2 + _AXIALS - len(tiles))
    return tiles


def _levels_to_show(study: SyntheticStudy, broken: set[str]) -> list[str]:
    """Levels whose middle lies in the field of view, fractured ones first, in order of the neck."""
    geometry = study.geometry
    seen = [
        level
        for level in LEVELS
        if all(
            0 <= index < size
            for index, size in zip(
                geometry.to_voxel(study.scene.world(level)), geometry.shape, strict=True
            )
        )
    ]
    wanted = [level for level in seen if level in broken]
    wanted += [level for level in _USUAL if level in seen and level not in broken]
    return sorted(wanted[:_AXIALS])


def _axial(study: SyntheticStudy, level: str, broken: bool) -> Image.Image:
    """Through the middle of the vertebra, or where most of its fracture lies."""
    geometry = study.geometry
    x, y, z = np.round(geometry.to_voxel(study.scene.world(level))).astype(int)
    if broken:
        area = (study.fractures == LEVELS.index(level) + 1).sum(axis=(0, 1))
        z = int(area.argmax())
    y -= round(14.0 / geometry.spacing_mm[1])  # the canal, rather than the body, in the middle
    half = [round(0.5 * _AXIAL_MM / mm) for mm in geometry.spacing_mm[:2]]
    columns = slice(max(0, x - half[0]), x + half[0])
    rows = slice(max(0, y - half[1]), y + half[1])
    plane = study.hu[columns, rows, z].T[::-1, ::-1]
    size_mm = tuple(n * mm for n, mm in zip(plane.shape[::-1], geometry.spacing_mm, strict=False))
    return _tile(plane, (size_mm[0], size_mm[1]), level, broken)


def _tile(
    hu: np.ndarray, size_mm: tuple[float, float], caption: str, alarm: bool = False
) -> Image.Image:
    grey = ((hu - _LEVEL_HU) / _WIDTH_HU + 0.5).clip(0, 1) * 255
    image = Image.fromarray(np.ascontiguousarray(grey.astype(np.uint8)))
    scale = _TILE_PX / max(size_mm)
    image = image.resize((max(1, round(size_mm[0] * scale)), max(1, round(size_mm[1] * scale))))
    tile = Image.new("RGB", (_TILE_PX, _TILE_PX))
    tile.paste(image, ((_TILE_PX - image.width) // 2, (_TILE_PX - image.height) // 2))
    pen = ImageDraw.Draw(tile)
    text = f"{caption} fractured" if alarm else caption
    colour = (255, 120, 110) if alarm else (230, 230, 230)
    font = ImageFont.load_default(_CAPTION_PX * 0.8)
    pen.rectangle((0, 0, pen.textlength(text, font) + 8, _CAPTION_PX), fill=(0, 0, 0))
    pen.text((4, 1), text, fill=colour, font=font)
    return tile
