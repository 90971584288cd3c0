"""Soft parts: where they lie, what they leave alone, and that no fracture goes with them."""

import numpy as np
import pytest
import torch

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.families import SOFT_PARTS
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.soft_parts import draw_soft_parts

ONLY = frozenset({SOFT_PARTS})


def _grid(scene: Scene) -> Geometry:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = scene.world("C5") + np.array([-64.0, -40.0, -32.0])
    return Geometry((32, 24, 16), affine)


def _enhanced_seed() -> int:
    """A patient with contrast in the vessels, lying straight enough."""
    for seed in range(50):
        parts = draw_soft_parts(Scene.draw(seed, families=ONLY))
        if sum(150 <= part.hu <= 400 for part in parts[:1]):
            return seed
    raise AssertionError("no patient of fifty had contrast")


def test_without_the_family_there_are_none() -> None:
    assert draw_soft_parts(Scene.draw(1)) == []
    assert draw_soft_parts(Scene.draw(1, families=ONLY))


@pytest.mark.slow
def test_vessels_run_on_both_sides_before_the_spine_and_bone_stays_as_it_is() -> None:
    seed = _enhanced_seed()
    scene, bare = Scene.draw(seed, families=ONLY), Scene.draw(seed)
    grid = _grid(bare)
    with_parts, without = render(scene, grid), render(bare, grid)
    assert torch.equal(with_parts.labels, without.labels)
    bone = (without.labels > 0) & (without.hu > 600)
    assert torch.equal(with_parts.hu[bone], without.hu[bone])
    brighter = np.argwhere(((with_parts.hu - without.hu) > 60).numpy()).astype(float)
    beside = scene.pose.rotation.T @ (grid.to_world(brighter) - scene.world("C5")).T
    assert (beside[0] > 8).sum() > 5
    assert (beside[0] < -8).sum() > 5
    assert np.median(beside[1]) > 0


def test_twins_share_them_and_a_seed_draws_them_alike() -> None:
    scene = Scene.draw(7, families=ONLY)
    for other in (scene.fractured(), Scene.draw(7, families=ONLY)):
        for one, two in zip(draw_soft_parts(scene), draw_soft_parts(other), strict=True):
            assert one.hu == two.hu
            assert np.array_equal(one.low, two.low)


@pytest.mark.slow
def test_a_swollen_neck_is_as_often_whole() -> None:
    swollen = [
        any(part.over_air for part in draw_soft_parts(Scene.draw(seed, families=ONLY)))
        for seed in range(40)
    ]
    assert np.mean(swollen) == pytest.approx(0.25, abs=0.2)
    assert any(swollen)
