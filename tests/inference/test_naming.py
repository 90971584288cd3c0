"""Names come out once each, in order, on the spine; what cannot be named is said or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cspine_zoo.anatomy import DISC, THORACIC
from cspine_zoo.errors import StudyRejected
from cspine_zoo.inference.naming import Naming, name_levels
from tests.inference.phantoms import PITCH_MM, TOP_MM, Block, grid, paint, spine

GRID = grid(high_mm=(60.0, 70.0, 310.0))


def named(blocks: Sequence[Block]) -> Naming:
    return name_levels(paint(blocks, GRID), GRID)


def codes(naming: Naming) -> list[str]:
    return [notice.code for notice in naming.notices]


def test_a_clean_spine_stays_as_it_is() -> None:
    naming = named(spine())
    np.testing.assert_array_equal(naming.labels, paint(spine(), GRID))
    assert naming.notices == ()


def test_discs_are_used_up() -> None:
    blocks = spine()
    discs = [
        Block(DISC, (3.0, 0.0, TOP_MM - PITCH_MM * (place + 0.5)), (30.0, 20.0, 3.0))
        for place in range(1, 7)
    ]
    assert set(np.unique(named([*discs, *blocks]).labels)) == set(range(9))


@pytest.mark.parametrize("label", [1, 2, 4, 7, THORACIC])
def test_an_island_in_the_skull_is_dropped_however_large(label: int) -> None:
    island = Block(label, (10.0, 10.0, 285.0), (90.0, 100.0, 40.0))
    naming = named([island, *spine()])
    np.testing.assert_array_equal(naming.labels, paint(spine(), GRID))


def test_islands_in_the_shoulders_are_dropped() -> None:
    islands = [Block(7, (side * 50.0, -20.0, 50.0), (18.0, 40.0, 40.0)) for side in (-1, 1)]
    naming = named([*islands, *spine()])
    np.testing.assert_array_equal(naming.labels, paint(spine(), GRID))


def test_a_doubled_level_gets_the_name_of_its_place() -> None:
    blocks = spine((1, 2, 3, 4, 4, 6, 7, 8))
    naming = named(blocks)
    np.testing.assert_array_equal(naming.labels, paint(spine(), GRID))
    assert codes(naming) == ["level_uncertain"]
    assert "C5" in naming.notices[0].message


def test_swapped_levels_come_out_in_order() -> None:
    naming = named(spine((1, 2, 3, 5, 4, 6, 7, 8)))
    above = [
        np.argwhere(naming.labels == label)[:, 2].mean()
        for label in range(1, 9)
        if (naming.labels == label).any()
    ]
    assert above == sorted(above, reverse=True)
    assert "level_uncertain" in codes(naming)


def test_a_missing_level_leaves_a_gap() -> None:
    blocks = [block for block in spine() if block.label != 4]
    naming = named(blocks)
    np.testing.assert_array_equal(naming.labels, paint(blocks, GRID))


def test_one_vertebra_too_many_is_not_counted_in_silence() -> None:
    naming = named(spine((1, 2, 3, 4, 5, 5, 6, 7, 8)))
    assert "level_uncertain" in codes(naming)
    assert naming.labels[naming.labels == 5].size <= 1.2 * (paint(spine(), GRID) == 5).sum()


def test_pieces_of_a_level_stay_with_it() -> None:
    whole = [block for block in spine() if block.label != 5]
    five = spine()[4]
    x, y, z = five.centre_mm
    body = Block(5, (x, y + 6, z), (44.0, 20.0, 13.0))
    process = Block(5, (x, y - 14, z), (10.0, 14.0, 10.0))
    naming = named([*whole, body, process])
    np.testing.assert_array_equal(naming.labels, paint([*whole, body, process], GRID))


def test_both_halves_of_an_atlas_without_arches_stay() -> None:
    rest = spine()[1:]
    x, y, z = spine()[0].centre_mm
    masses = [Block(1, (x + side * 20, y, z), (16.0, 20.0, 13.0)) for side in (-1, 1)]
    naming = named([*rest, *masses])
    np.testing.assert_array_equal(naming.labels, paint([*rest, *masses], GRID))


def test_a_crumb_of_another_name_joins_what_it_touches() -> None:
    crumb = Block(2, (3.0, spine()[4].centre_mm[1], spine()[4].centre_mm[2]), (6.0, 6.0, 6.0))
    naming = named([*spine(), crumb])
    np.testing.assert_array_equal(naming.labels, paint(spine(), GRID))


def test_without_either_end_the_count_is_uncertain() -> None:
    naming = named(spine()[2:6])
    assert codes(naming) == ["level_uncertain"]
    assert "Neither" in naming.notices[0].message
    assert codes(named(spine()[1:5])) == []
    assert codes(named(spine()[3:])) == []


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [Block(8, (3.0, 0.0, 100.0 - 20 * place)) for place in range(4)],
        spine()[6:],
        [Block(DISC, (0.0, 0.0, 80.0))],
        [Block(3, (0.0, 0.0, 100.0), (8.0, 8.0, 8.0)), Block(4, (0.0, 0.0, 84.0), (8.0, 8.0, 8.0))],
        [
            Block(5, (-50.0, 0.0, 270.0)),
            Block(6, (45.0, 20.0, 200.0)),
            Block(3, (40.0, -50.0, 120.0)),
            Block(1, (-40.0, 50.0, 30.0)),
        ],
    ],
    ids=["nothing", "thorax alone", "C7 and below", "a disc", "crumbs", "scattered islands"],
)
def test_what_is_no_neck_is_refused(blocks: list[Block]) -> None:
    with pytest.raises(StudyRejected) as caught:
        named(blocks)
    assert caught.value.code == "no_cervical_spine"
    assert caught.value.reason == "no cervical spine found"


def test_a_leaning_neck_is_still_a_chain() -> None:
    for tilt in (-0.7, 0.7):
        blocks = [
            Block(b.label, (b.centre_mm[0], b.centre_mm[1] - tilt * 60, b.centre_mm[2]))
            for b in spine(tilt=-tilt)
        ]
        np.testing.assert_array_equal(named(blocks).labels, paint(blocks, GRID))


def test_noise_neither_slows_naming_nor_pierces_the_bones() -> None:
    labels = paint(spine(), GRID)
    random = np.random.default_rng(0)
    noise = random.random(labels.shape) < 0.01
    noisy = np.where(noise, random.integers(1, 9, labels.shape), labels).astype(np.uint8)
    named_labels = name_levels(noisy, GRID).labels
    truth = paint(spine(), GRID)
    assert (named_labels[truth > 0] == truth[truth > 0]).mean() > 0.99
