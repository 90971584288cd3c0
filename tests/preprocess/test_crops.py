"""Crops show the right place, the right side up, whatever the spacing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import ManifestError
from cspine_zoo.preprocess.crops import bounding_box, vertebra_crop
from cspine_zoo.preprocess.spec import Preprocess, Window

PREPROCESS = Preprocess(
    orientation="RAS",
    spacing_mm=None,
    window=Window(400, 1800),
    crop_mm=(40.0, 40.0),
    size_px=32,
    n_slices=5,
    neighbour_mm=1.0,
    channels=("previous", "slice", "next", "mask"),
)


def world_phantom(spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """A smooth field of HU and a box-shaped vertebra, both defined in world mm."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.asarray(spacing) / 2 - 30
    shape = tuple(round(60 / mm) for mm in spacing)
    geometry = Geometry(shape, affine)  # type: ignore[arg-type]
    x, y, z = np.moveaxis(geometry.to_world(np.moveaxis(np.indices(shape), 0, -1)), -1, 0)
    hu = (400 + 400 * np.sin(x / 9) + 200 * np.cos(y / 7 + 1) + 10 * z).astype(np.float32)
    mask = (np.abs(x - 3) < 12) & (np.abs(y + 2) < 9) & (np.abs(z - 1) < 8)
    return hu, mask, geometry


def test_the_patients_right_is_on_the_left_and_anterior_is_up() -> None:
    hu, mask, geometry = world_phantom((1.0, 1.0, 1.0))
    hu[:] = -1000
    right = tuple(np.rint(geometry.to_voxel([10.0, -2.0, 1.0])).astype(int))
    front = tuple(np.rint(geometry.to_voxel([3.0, 5.0, 1.0])).astype(int))
    hu[right[0], right[1]] = 1300
    hu[front[0], front[1]] = 400
    middle = vertebra_crop(hu, geometry, mask, PREPROCESS).images[2, 1]
    row, column = np.unravel_index(middle.argmax(), middle.shape)
    assert column < 15
    assert abs(row - 15.5) <= 1.5
    middle[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = -1
    row, column = np.unravel_index(middle.argmax(), middle.shape)
    assert row < 15
    assert abs(column - 15.5) <= 1.5


@pytest.mark.parametrize(
    "spacing", [(0.5, 0.5, 1.0), (0.75, 0.75, 0.5), (1.0, 1.0, 2.0), (0.4, 0.4, 2.5)]
)
def test_spacing_hardly_changes_a_crop(spacing: tuple[float, float, float]) -> None:
    fine, other = (
        vertebra_crop(hu, geometry, mask, PREPROCESS)
        for hu, mask, geometry in (world_phantom((0.5, 0.5, 0.5)), world_phantom(spacing))
    )
    np.testing.assert_allclose(other.positions_mm, fine.positions_mm, atol=spacing[2] / 2)
    assert np.abs(other.images[:, :3] - fine.images[:, :3]).mean() < 0.02
    assert np.abs(other.images[:, 3] - fine.images[:, 3]).mean() < 0.05


def test_slices_are_the_centres_of_equal_intervals_of_the_mask() -> None:
    hu, mask, geometry = world_phantom((1.0, 1.0, 1.0))
    crop = vertebra_crop(hu, geometry, mask, PREPROCESS)
    # 16 slices from -7 to 9 mm, in five intervals of 3.2 mm.
    np.testing.assert_allclose(crop.positions_mm, -7 + 3.2 * (np.arange(5) + 0.5), atol=1e-4)
    assert crop.slice_indices.tolist() == [24, 27, 30, 34, 37]
    assert crop.images.shape == (5, 4, 32, 32)
    assert crop.images.dtype == np.float32


def test_neighbour_channels_lie_below_and_above() -> None:
    hu, mask, geometry = world_phantom((1.0, 1.0, 1.0))
    hu[:] = (400 + 10 * (np.arange(60) - 29.5)).astype(np.float32)
    crop = vertebra_crop(hu, geometry, mask, PREPROCESS)
    values = crop.images[:, :3, 16, 16] * 900 / 10
    np.testing.assert_allclose(values[:, 1], crop.positions_mm, atol=1e-3)
    np.testing.assert_allclose(values[:, 0], crop.positions_mm - 1, atol=1e-3)
    np.testing.assert_allclose(values[:, 2], crop.positions_mm + 1, atol=1e-3)


def test_two_neighbours_on_each_side_stand_in_order() -> None:
    hu, mask, geometry = world_phantom((1.0, 1.0, 1.0))
    hu[:] = (400 + 10 * (np.arange(60) - 29.5)).astype(np.float32)
    names = ("-2", "previous", "slice", "next", "+2", "mask")
    five = dataclasses.replace(PREPROCESS, channels=names)
    crop = vertebra_crop(hu, geometry, mask, five)
    values = crop.images[:, :5, 16, 16] * 900 / 10
    for place, step in enumerate((-2, -1, 0, 1, 2)):
        np.testing.assert_allclose(values[:, place], crop.positions_mm + step, atol=1e-3)
    three = vertebra_crop(hu, geometry, mask, PREPROCESS)
    np.testing.assert_array_equal(crop.images[:, 1:4], three.images[:, :3])


def test_a_margin_makes_the_vertebra_fill_its_crop() -> None:
    """24 x 18 mm and 4 mm on each side: a square of 32 mm with as many pixels, none stretched."""
    hu, mask, geometry = world_phantom((1.0, 1.0, 1.0))
    tight = dataclasses.replace(PREPROCESS, crop_mm=None, margin_mm=4.0)
    crop = vertebra_crop(hu, geometry, mask, tight)
    assert crop.field_mm == (32.0, 32.0)
    shown = crop.images[2, 3] > 0.5
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert (rows[0], rows[-1]) == (7, 24)
    assert (columns[0], columns[-1]) == (4, 27)
    fixed = dataclasses.replace(PREPROCESS, crop_mm=(32.0, 32.0))
    np.testing.assert_array_equal(vertebra_crop(hu, geometry, mask, fixed).images, crop.images)


def test_what_rows_of_old_say_means_what_it_meant() -> None:
    """A row without a margin has no such key, written or read; both at once are refused."""
    assert "margin_mm" not in PREPROCESS.to_dict()
    assert Preprocess.from_dict(PREPROCESS.to_dict()) == PREPROCESS
    tight = dataclasses.replace(PREPROCESS, crop_mm=None, margin_mm=2.5)
    assert Preprocess.from_dict(tight.to_dict()) == tight
    with pytest.raises(ManifestError):
        Preprocess.from_dict(PREPROCESS.to_dict() | {"margin_mm": 2.5})


def test_the_mask_channel_has_the_masks_size() -> None:
    hu, mask, geometry = world_phantom((1.0, 1.0, 1.0))
    crop = vertebra_crop(hu, geometry, mask, PREPROCESS)
    pixel_mm2 = (40 / 32) ** 2
    assert crop.images[2, 3].sum() * pixel_mm2 == pytest.approx(24 * 18, rel=0.01)
    assert crop.images[:, 3].min() >= 0
    assert crop.images[:, 3].max() <= 1 + 1e-6


def test_outside_the_scan_is_air_in_plane_and_the_last_slice_along_the_spine() -> None:
    geometry = Geometry((20, 20, 8), np.eye(4))
    hu = np.full(geometry.shape, 400, np.float32)
    mask = np.zeros(geometry.shape, bool)
    mask[5:15, 5:15] = True
    crop = vertebra_crop(hu, geometry, mask, PREPROCESS)
    assert crop.images[:, 1, 0].max() == -1
    np.testing.assert_allclose(crop.images[:, :3, 16, 16], 0, atol=1e-5)


def test_a_mirrored_study_gives_the_mirrored_crop() -> None:
    hu, mask, geometry = world_phantom((1.0, 1.0, 2.0))
    crop = vertebra_crop(hu, geometry, mask, PREPROCESS)
    mirrored = vertebra_crop(hu[::-1], geometry, mask[::-1], PREPROCESS)
    np.testing.assert_allclose(mirrored.images, crop.images[..., ::-1], atol=1e-4)


def test_what_cannot_be_cropped_is_refused() -> None:
    hu, mask, geometry = world_phantom((2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="empty"):
        vertebra_crop(hu, geometry, np.zeros_like(mask), PREPROCESS)
    with pytest.raises(ManifestError):
        vertebra_crop(hu, geometry, mask, dataclasses.replace(PREPROCESS, n_slices=None))
    with pytest.raises(ManifestError):
        vertebra_crop(hu, geometry, mask, dataclasses.replace(PREPROCESS, channels=("depth",)))


def test_bounding_box_in_any_layout() -> None:
    mask = np.zeros((6, 7, 8), bool)
    mask[1:3, 2, 4:8] = True
    for layout in (mask, np.asfortranarray(mask), mask.copy()[::-1][::-1]):
        assert bounding_box(layout) == (slice(1, 3), slice(2, 3), slice(4, 8))
    assert bounding_box(np.zeros((3, 3, 3), bool)) is None


def _ordered(
    phantom: tuple[np.ndarray, np.ndarray, Geometry],
) -> tuple[np.ndarray, Geometry, np.ndarray]:
    hu, mask, geometry = phantom
    return hu, geometry, mask
