"""Borders of bodies go to the discs that the image shows, and stay where it shows none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from cspine_zoo.anatomy import DISC, LABEL_OF, LEVELS, THORACIC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.inference.borders import Settled, settle_borders
from cspine_zoo.inference.column import find_column
from cspine_zoo.preprocess.spec import Window
from tests.inference.phantoms import grid

PITCH_MM = 17.0
C2_MM = 150.0
GRID = grid()
WINDOW = Window(level=300.0, width=1600.0)


@dataclass(frozen=True, eq=False)
class Neck:
    """Bodies, discs and arches, leaning forward; C6 alone has a process, on the patient's left.

    Attributes:
        grid: of the volumes.
        image: windowed, bone bright and discs less so.
        truth: labels 0-8.
    """

    grid: Geometry
    image: np.ndarray
    truth: np.ndarray

    def painted(self, **down_mm: float) -> np.ndarray:
        """The truth with borders below some levels moved, over bone, arches and all."""
        z = self._along()
        bottoms = [_bottom(label) - down_mm.get(LEVELS[label - 1], 0.0) for label in range(1, 8)]
        labels = 1 + np.searchsorted(-np.array(bottoms), -z)
        return np.where(self.truth > 0, labels, 0).astype(np.uint8)

    def settled(self, labels: np.ndarray, discs: np.ndarray | None = None) -> Settled:
        raw = labels.copy()
        if discs is not None:
            raw[discs] = DISC
        return settle_borders(labels, raw, self.image, WINDOW, self.grid)

    def _along(self) -> np.ndarray:
        return _upright(self.grid)[2]


def _bottom(label: int) -> float:
    return C2_MM - PITCH_MM * (label - 1.5)


@cache
def _upright(geometry: Geometry) -> np.ndarray:
    """World mm of every voxel, before the neck leaned."""
    x, y, z = np.moveaxis(geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1)), -1, 0)
    return np.stack((x - 3.0, y - 0.15 * (z - C2_MM), z))


@cache
def neck(
    geometry: Geometry = GRID,
    *,
    dark: float = 0.5,
    short_c5_mm: float = 0.0,
) -> Neck:
    """A neck whose discs are darker than bone by ``dark``, and whose C5 may be short."""
    x, y, z = _upright(geometry)
    bottoms = np.array([_bottom(label) for label in range(1, 8)])
    bottoms[LABEL_OF["C5"] - 1] += short_c5_mm
    level = 1 + np.searchsorted(-bottoms, -z)
    body = (np.abs(x) < 9) & (np.abs(y) < 8)
    arch = (np.abs(x) < 14) & (np.abs(y + 20) < 4)
    process = (level == LABEL_OF["C6"]) & (x < -9) & (x > -30) & (np.abs(y) < 4)
    gaps = np.abs(z[..., None] - bottoms).min(axis=-1) < 2.5
    tall = (z < C2_MM + PITCH_MM / 2) & (z > 12)
    bone = (body | arch | process) & tall
    discs = body & gaps & tall
    image = np.where(bone, 0.6, -0.2) - dark * discs
    image = image + 0.05 * np.random.default_rng(1).standard_normal(image.shape)
    return Neck(geometry, image.astype(np.float32), np.where(bone, level, 0).astype(np.uint8))


WRONG = {"C4": -2.0, "C5": -9.0, "C6": -7.0}
"""As a network paints that missed the disc between C5 and C6: C5 is short, C6 and C7 come early."""


def agreement(labels: np.ndarray, truth: np.ndarray) -> float:
    return float((labels == truth)[truth > 0].mean())


@pytest.mark.parametrize(
    "geometry",
    [GRID, grid((1.5, 2.0, 1.5)), grid((1.0, 1.0, 3.0))],
    ids=lambda g: str(g.spacing_mm),
)
def test_a_body_that_was_given_away_comes_back(geometry: Geometry) -> None:
    phantom = neck(geometry)
    wrong = phantom.painted(**WRONG)
    settled = phantom.settled(wrong)
    assert agreement(wrong, phantom.truth) < 0.9
    assert agreement(settled.labels, phantom.truth) > 0.95
    assert settled.moved_mm["C5"] == pytest.approx(9.0, abs=1.5)
    assert settled.moved_mm["C6"] == pytest.approx(7.0, abs=1.5)
    assert settled.moved_mm["C2"] == pytest.approx(0.0, abs=1.0)


def test_bone_stays_bone_and_arches_go_with_their_bodies() -> None:
    phantom = neck()
    settled = phantom.settled(phantom.painted(**WRONG))
    np.testing.assert_array_equal(settled.labels > 0, phantom.truth > 0)
    arches = (phantom.truth > 0) & (_upright(GRID)[1] < -14)
    assert agreement(settled.labels[arches], phantom.truth[arches]) > 0.93


def test_the_left_process_stays_on_the_left_and_its_own() -> None:
    phantom = neck()
    settled = phantom.settled(phantom.painted(**WRONG))
    aside = np.abs(_upright(GRID)[0]) > 15
    left = _upright(GRID)[0] < 0
    process = (settled.labels == LABEL_OF["C6"]) & aside
    assert process.sum() > 0.9 * ((phantom.truth == LABEL_OF["C6"]) & aside).sum()
    assert not (process & ~left).any()


def test_mirrored_input_gives_mirrored_labels() -> None:
    phantom = neck()
    wrong = phantom.painted(**WRONG)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    flipped = Geometry(GRID.shape, mirror @ GRID.affine)
    mirrored = settle_borders(wrong, wrong, phantom.image, WINDOW, flipped)
    assert agreement(mirrored.labels, phantom.settled(wrong).labels) > 0.995


def test_borders_at_their_discs_are_left_alone() -> None:
    phantom = neck()
    right = phantom.painted()
    settled = phantom.settled(right)
    assert settled.labels is right
    assert settled.moved_mm == {}
    assert settled.notices == ()


def test_a_level_that_is_short_stays_short() -> None:
    phantom = neck(short_c5_mm=6.0)
    right = phantom.painted(C5=-6.0)
    assert phantom.settled(right).labels is right


def test_what_the_image_does_not_show_is_not_invented() -> None:
    phantom = neck(dark=0.0)
    assert phantom.settled(phantom.painted(C5=-5.0)).moved_mm == {}


def test_discs_that_the_network_painted_hold_their_borders() -> None:
    phantom = neck(dark=-0.3)
    _, y, z = _upright(GRID)
    bottoms = [_bottom(label) for label in range(2, 8)]
    discs = (np.abs(z[..., None] - bottoms).min(axis=-1) < 2.5) & (np.abs(y) < 8)
    assert phantom.settled(phantom.painted(), discs & (phantom.truth > 0)).moved_mm == {}


def test_borders_with_a_disc_of_their_own_move_nothing() -> None:
    phantom = neck()
    wrong = phantom.painted(**WRONG)
    _, y, z = _upright(GRID)
    bottoms = [_bottom(label) - WRONG.get(LEVELS[label - 1], 0.0) for label in range(2, 8)]
    discs = (np.abs(z[..., None] - bottoms).min(axis=-1) < 2.5) & (np.abs(y) < 8) & (wrong > 0)
    assert phantom.settled(wrong, discs).labels is wrong


def test_a_border_moves_by_most_of_a_level_and_no_further() -> None:
    phantom = neck()
    near = phantom.settled(phantom.painted(C5=-12.0, C6=-12.0, C7=-12.0))
    assert near.moved_mm["C5"] == pytest.approx(12.0, abs=1.5)
    far = phantom.settled(phantom.painted(C5=-15.0, C6=-15.0, C7=-15.0))
    assert far.moved_mm == {}


def test_few_levels_are_left_as_they_are() -> None:
    phantom = neck()
    few = phantom.painted(**WRONG)
    few[few > LABEL_OF["C4"]] = 0
    assert phantom.settled(few).labels is few
    assert phantom.settled(np.zeros_like(few)).moved_mm == {}


def test_levels_about_one_place_have_no_line() -> None:
    truth = neck().truth
    nested = np.where(truth == LABEL_OF["C5"], 0, truth).astype(np.uint8)
    x, y, _ = _upright(GRID)
    shell = (truth == LABEL_OF["C4"]) & (np.abs(y) < 8) & ((np.abs(x) > 3) | (np.abs(y) > 3))
    nested[shell] = LABEL_OF["C5"]
    assert find_column(nested, nested > 1, GRID) is None


def test_the_user_is_told_which_borders_moved() -> None:
    phantom = neck()
    (notice,) = phantom.settled(phantom.painted(**WRONG)).notices
    assert notice.code == "borders_moved"
    told = re.findall(r"(C\d/\S+) \((\d+) mm\)", notice.message)
    assert [border for border, _ in told] == ["C5/C6", "C6/C7"]
    assert [int(mm) for _, mm in told] == pytest.approx([9, 7], abs=2)


def test_the_line_runs_through_the_bodies_from_top_to_bottom() -> None:
    phantom = neck()
    column = find_column(phantom.truth, phantom.truth > 1, GRID)
    assert column is not None
    x, y, z = column.points_mm.T
    seen = (z < C2_MM) & (z > _bottom(THORACIC - 1))
    np.testing.assert_allclose(x[seen], 3.0, atol=1.5)
    np.testing.assert_allclose(y[seen], 0.15 * (z[seen] - C2_MM), atol=2.5)
    assert np.all(np.diff(z) < 0)
    assert np.all(column.forwards[:, 1] > 0.9)
