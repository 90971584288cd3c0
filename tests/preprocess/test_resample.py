"""Resampling keeps positions, means and sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.preprocess.resample import AIR_HU, apply_weights, axis_weights, resample


def world_x(geometry: Geometry) -> np.ndarray:
    """A ramp: every voxel holds the world x of its centre."""
    grid = np.moveaxis(np.indices(geometry.shape), 0, -1).astype(np.float64)
    return geometry.to_world(grid)[..., 0].astype(np.float32)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrinking_a_ramp_gives_the_world_position_of_the_new_centres(factor: int) -> None:
    geometry = Geometry((30, 4, 4), np.diag([0.5, 1, 1, 1]))
    target = geometry.with_spacing((0.5 * factor, 1, 1))
    np.testing.assert_allclose(
        resample(world_x(geometry), geometry, target), world_x(target), atol=1e-5
    )


def test_enlarging_a_ramp_interpolates_and_continues_the_edge() -> None:
    geometry = Geometry((8, 3, 3), np.diag([2, 1, 1, 1]))
    target = geometry.with_spacing((0.5, 1, 1))
    fine = resample(world_x(geometry), geometry, target)
    np.testing.assert_allclose(fine[2:-2], world_x(target)[2:-2], atol=1e-5)
    np.testing.assert_allclose(fine[:2], 0)
    np.testing.assert_allclose(fine[-2:], 14)


def test_the_same_grid_is_the_identity() -> None:
    hu = np.random.default_rng(0).normal(size=(7, 6, 5)).astype(np.float32)
    geometry = Geometry((7, 6, 5), np.diag([0.7, 0.8, 3, 1]))
    np.testing.assert_array_equal(resample(hu, geometry, geometry), hu)


def test_the_mean_over_the_field_of_view_is_kept() -> None:
    geometry = Geometry((24, 36, 12), np.diag([0.5, 0.4, 1, 1]))
    hu = np.random.default_rng(1).normal(100, 500, geometry.shape).astype(np.float32)
    small = resample(hu, geometry, geometry.with_spacing((0.8, 0.9, 2.4)))
    assert small.shape == (15, 16, 5)
    assert small.mean(dtype=np.float64) == pytest.approx(hu.mean(dtype=np.float64), abs=1e-2)


def test_outside_the_scan_is_air() -> None:
    geometry = Geometry((4, 4, 4), np.eye(4))
    target = geometry.cropped((-2, 0, 0), (8, 4, 4))
    result = resample(np.full((4, 4, 4), 50, np.float32), geometry, target)
    np.testing.assert_allclose(result[2:6], 50)
    np.testing.assert_allclose(result[:2], AIR_HU)
    np.testing.assert_allclose(result[6:], AIR_HU)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(3, 40),
    spacing=st.floats(0.3, 5),
    width=st.floats(0.3, 5),
)
def test_mirrored_input_gives_mirrored_output(n: int, spacing: float, width: float) -> None:
    positions = (np.arange(11) - 5) * width + (n - 1) / 2 * spacing
    weights = axis_weights(n, spacing, positions, width)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-5)
    sums = weights.sum(axis=1)
    assert ((np.abs(sums - 1) < 1e-5) | (sums == 0)).all()


def test_memory_layout_does_not_matter() -> None:
    hu = np.random.default_rng(2).normal(size=(20, 30, 40)).astype(np.float32)
    weights = [axis_weights(n, 1.0, np.arange(0.5, n - 1, 1.7), 1.7) for n in hu.shape]
    expected = np.einsum("ai,bj,ck,ijk->abc", *weights, hu, optimize=True)
    stored = np.ascontiguousarray(hu[::-1, ::-1].T)  # slices first, as DICOM delivers them
    for layout in (hu, np.asfortranarray(hu), stored.T[::-1, ::-1]):
        np.testing.assert_allclose(apply_weights(layout, weights), expected, atol=1e-5)


def test_an_oblique_grid_keeps_its_axes() -> None:
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, 3] = 5, -30, 12
    geometry = Geometry((20, 20, 4), affine)
    target = geometry.with_spacing((2, 2, 1))
    np.testing.assert_allclose(
        resample(world_x(geometry), geometry, target), world_x(target), atol=1e-4
    )
    with pytest.raises(ValueError, match="parallel"):
        resample(world_x(geometry), geometry, Geometry((9, 9, 4), np.eye(4)))
