"""The contact sheet: sides as in radiology, and no level that is not in view."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspine_zoo.synthetic.preview import write_preview
from cspine_zoo.synthetic.study import SyntheticStudy, draw_twins
from cspine_zoo.synthetic.synthesize import PRESETS

TILE = 240


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return draw_twins(3, PRESETS["tiny"])[1]


def _tiles(study: SyntheticStudy, path: Path) -> list[np.ndarray]:
    write_preview([study], path)
    sheet = np.asarray(Image.open(path).convert("L")).astype(float)
    return [sheet[:, n : n + TILE] for n in range(0, sheet.shape[1], TILE)]


def test_the_patients_right_is_on_the_left_and_anterior_is_left_or_up(
    study: SyntheticStudy, tmp_path: Path
) -> None:
    k = round(study.geometry.to_voxel(study.scene.world("C4"))[2])
    i, j, _ = np.round(study.geometry.to_voxel(study.scene.world("C4"))).astype(int)
    hu = np.full_like(study.hu, -1000)
    hu[i + 1 :, j + 1 :, k] = 2000  # right and anterior of C4's body
    hu[i, j + 1 :, k] = 2000
    hu[i + 1 :, j, k] = 2000
    sagittal, coronal, *axials = _tiles(replace(study, hu=hu), tmp_path / "sheet.png")
    below_caption = slice(20, None)
    for plane in (sagittal, coronal):
        left, right = plane[below_caption, : TILE // 2], plane[below_caption, TILE // 2 :]
        assert left.mean() > 2 * right.mean() + 1
    c4 = max((tile[below_caption] for tile in axials), key=lambda tile: tile.sum())
    assert c4[:, : TILE // 2].sum() > 2 * c4[:, TILE // 2 :].sum()
    assert c4[: TILE // 2].sum() > 1.3 * c4[TILE // 2 :].sum()


def test_levels_out_of_view_are_left_out(study: SyntheticStudy, tmp_path: Path) -> None:
    half = study.hu.shape[2] // 2
    upper = replace(
        study,
        hu=study.hu[:, :, half:],
        labels=study.labels[:, :, half:],
        fractures=study.fractures[:, :, half:],
        geometry=study.geometry.cropped(
            (0, 0, half), (*study.hu.shape[:2], len(study.hu[0, 0]) - half)
        ),
    )
    whole, cut = (_tiles(s, tmp_path / "sheet.png") for s in (study, upper))
    shown = [sum(tile.max() > 0 for tile in tiles) for tiles in (whole, cut)]
    assert shown[0] == 6 > shown[1] >= 3
