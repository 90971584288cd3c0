"""The plate before the atlas: part of C1, with a dark line behind it, on its own side."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.atlas_rim import Rim, RimmedAtlas
from cspine_zoo.synthetic.families import ATLAS, ATLAS_RIM, SHAPE
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.spine import build_spine

RIM = Rim(2.0, 2.5, 1.4, 2.0, (30.0, 30.0), 2.0)
C1 = LABEL_OF["C1"]


def _around_atlas(scene: Scene) -> Rendered:
    affine = np.diag([2.0, 2.0, 1.5, 1.0])
    affine[:3, 3] = scene.world("C1") - [46.0, 40.0, 21.0]
    return render(scene, Geometry((46, 32, 28), affine))


def _with_rim(scene: Scene, rim: Rim) -> Scene:
    atlas = scene.spine["C1"]
    rimmed = replace(atlas, shape=RimmedAtlas(atlas.shape, rim))
    spine = {**scene.spine, "C1": rimmed}
    return replace(scene, spine=spine, body=replace(scene.body, spine=spine))


@pytest.mark.parametrize("side", [1.0, -1.0], ids=["right", "left"])
def test_a_longer_half_stays_on_its_side(side: float) -> None:
    scene = Scene.draw(3, families=frozenset({ATLAS}))
    reach = (34.0, 6.0) if side > 0 else (6.0, 34.0)
    whole, rimmed = _around_atlas(scene), _around_atlas(_with_rim(scene, replace(RIM, reach=reach)))
    added = np.argwhere(((rimmed.labels == C1) & (whole.labels != C1)).numpy()).astype(float)
    assert len(added) > 40
    off = rimmed.geometry.to_world(added) - scene.world("C1")
    assert side * np.median(off[:, 0]) > 6.0


def test_it_is_bone_of_c1_and_changes_no_other_level() -> None:
    scene = Scene.draw(3, families=frozenset({ATLAS}))
    whole, rimmed = _around_atlas(scene), _around_atlas(_with_rim(scene, RIM))
    changed = whole.labels != rimmed.labels
    assert int(changed.sum()) > 40
    assert (rimmed.labels[changed] == C1).all()
    assert float(rimmed.hu[changed].mean()) > 150


def test_there_is_a_dark_line_behind_it() -> None:
    """Front to back through a lateral mass: rim, gap, mass."""
    atlas = build_spine(3, families=frozenset({ATLAS}))["C1"].shape
    y = torch.arange(6.0, -16.0, -0.1)
    line = torch.stack((torch.full_like(y, 17.0), y, torch.full_like(y, RIM.height - 1.0)))
    bone = RimmedAtlas(atlas, RIM).distance(line) < 0
    assert bone.diff().nonzero().numel() >= 3
    assert (atlas.distance(line) < 0).diff().nonzero().numel() <= 2


def test_two_in_three_have_one_under_any_habit() -> None:
    families = frozenset({ATLAS, SHAPE, ATLAS_RIM})
    with_rim = 0
    points = torch.randn(3, 400, generator=torch.Generator().manual_seed(1)) * 20
    for seed in range(60):
        first = build_spine(seed, families=families - {ATLAS_RIM})
        spine = build_spine(seed, families=families)
        shapes = [one["C1"].shape.distance(points) for one in (spine, first)]
        assert (shapes[0] <= shapes[1] + 1e-4).all()
        with_rim += not torch.equal(*shapes)
        lower = [one["C2"].shape.distance(points) for one in (spine, first)]
        assert torch.equal(*lower)
    assert 30 <= with_rim <= 48
