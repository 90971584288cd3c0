"""Distances to solids against what geometry says."""

import math

import pytest
import torch
from torch import Tensor

from cspine_zoo.synthetic.distance import (
    capsule,
    chain,
    ellipsoid,
    elliptic_column,
    length,
    mirrored,
    rounded_box,
    smooth_union,
    subtract,
    union,
)


def points(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).T


def check(distance: Tensor, *expected: float) -> None:
    torch.testing.assert_close(distance, torch.tensor(expected, dtype=torch.float64))


def test_capsule_beside_beyond_and_within() -> None:
    where = points((0, 3, 5), (0, 0, 14), (0, 0, 5), (3, 0, -4))
    check(capsule(where, (0, 0, 0), (0, 0, 10), 2.0), 1.0, 2.0, -2.0, 3.0)


def test_a_capsule_may_taper() -> None:
    where = points((6, 0, 0), (6, 0, 10), (6, 0, 5))
    check(capsule(where, (0, 0, 0), (0, 0, 10), 3.0, 1.0), 3.0, 5.0, 4.0)


def test_a_chain_is_its_capsules_with_an_even_taper() -> None:
    where = torch.randn(3, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 9
    path = [(0.0, 0.0, 0.0), (8.0, 0.0, 0.0), (8.0, 6.0, 0.0)]
    parts = [
        capsule(where, path[0], path[1], 3.0, 2.0),
        capsule(where, path[1], path[2], 2.0, 1.0),
    ]
    torch.testing.assert_close(chain(where, path, 3.0, 1.0), union(parts))


def test_an_ellipsoid_with_equal_radii_is_a_sphere() -> None:
    where = points((9, 0, 0), (1, 2, 2), (1, 7, 0))
    check(ellipsoid(where, (1, 0, 0), (5, 5, 5)), 3.0, math.sqrt(8) - 5, 2.0)


def test_an_ellipsoid_is_zero_on_its_surface() -> None:
    where = points((4, 0, 0), (0, -6, 0), (0, 0, 10))
    check(ellipsoid(where, (0, 0, 0), (4, 6, 10)), 0.0, 0.0, 0.0)


def test_box_at_a_face_an_edge_a_corner_and_inside() -> None:
    where = points((7, 0, 0), (8, 7, 0), (6, 5, 5), (4, 0, 0))
    box = rounded_box(where, (0, 0, 0), (5, 4, 3), 0.0)
    check(box, 2.0, math.sqrt(18), math.sqrt(6), -1.0)


def test_rounding_a_box_takes_from_its_corners_only() -> None:
    where = points((7, 0, 0), (5, 4, 3))
    sharp, round_ = (rounded_box(where, (0, 0, 0), (5, 4, 3), r) for r in (0.0, 2.0))
    check(sharp, 2.0, 0.0)
    check(round_, 2.0, 2 * math.sqrt(3) - 2)


def test_a_column_has_its_half_sizes() -> None:
    where = points((9, 0, 0), (0, 8, 0), (0, 0, 7), (0, 0, 0))
    distance = elliptic_column(where, (0, 0, 0), (9, 8, 7))
    check(distance[:3], 0.0, 0.0, 0.0)
    assert float(distance[3]) < -6


def test_growing_together_adds_only_near_the_seam() -> None:
    where = points((0, 4.5, 0), (-10, 0, 0))
    balls = [ellipsoid(where, (x, 0, 0), (5, 5, 5)) for x in (-4, 4)]
    apart, grown = union(balls), smooth_union(balls, 3.0)
    assert float(grown[0]) < float(apart[0]) - 0.5
    assert float(grown[1]) == float(apart[1])


def test_a_hole_is_outside() -> None:
    where = points((1, 0, 0), (4, 0, 0), (9, 0, 0))
    ball, hole = (ellipsoid(where, (0, 0, 0), (r, r, r)) for r in (6, 2))
    check(subtract(ball, hole), 1.0, -2.0, 3.0)


def test_length_and_mirror() -> None:
    where = points((-3, 4, 12))
    check(length(where), 13.0)
    assert mirrored(where)[:, 0].tolist() == [3, 4, 12]


@pytest.mark.parametrize("solid", ["capsule", "box"])
def test_a_distance_changes_by_at_most_the_step(solid: str) -> None:
    """What lets the renderer skip voxels far from a surface."""
    generator = torch.Generator().manual_seed(2)
    here = 12 * torch.randn(3, 400, generator=generator, dtype=torch.float64)
    step = torch.randn(3, 400, generator=generator, dtype=torch.float64)

    def field(p: Tensor) -> Tensor:
        if solid == "capsule":
            return capsule(p, (-5, 0, 2), (6, 3, -4), 3.0)
        return rounded_box(p, (1, 2, 3), (6, 5, 4), 1.5)

    change = (field(here + step) - field(here)).abs()
    assert bool((change <= length(step) + 1e-9).all())
