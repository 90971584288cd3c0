"""Lips of bone about a disc: part of the bodies above and below, with a dark lens left between."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import DISC, LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic import render as rendering
from cspine_zoo.synthetic.disc_ridges import HalfSizes, Ridge, draw_ridges
from cspine_zoo.synthetic.families import DISC_RIDGES, FIRST
from cspine_zoo.synthetic.frame import Frame
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scene import Scene

SEED = 3
C4C5 = 2
"""Number of that disc, from C2/C3 down."""


def _disc(scene: Scene) -> tuple[Frame, HalfSizes]:
    return scene.body.discs()[C4C5]


def _ridge(scene: Scene) -> Ridge:
    frame, half = _disc(scene)
    width, depth, _ = half
    return Ridge(frame, half, (0.0, 0.2 * depth), (0.5 * width, 0.5 * depth), (0.0, 0.0), 0.0)


def _scene(families: frozenset[str] = frozenset({DISC_RIDGES})) -> Scene:
    return Scene.draw(SEED, families=families)


def _around_disc(scene: Scene) -> Rendered:
    affine = np.eye(4)
    affine[:3, 3] = 0.5 * (scene.world("C4") + scene.world("C5")) - [20.0, 16.0, 12.0]
    return render(scene, Geometry((40, 32, 24), affine))


@pytest.fixture
def with_ridge(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ridge], Rendered]:
    """A scene rendered with one ridge at C4/C5 and no other."""

    def rendered(ridge: Ridge) -> Rendered:
        def only(seed: int, discs: list[tuple[Frame, HalfSizes]]) -> list[Ridge | None]:
            return [ridge if n == C4C5 else None for n in range(len(discs))]

        with monkeypatch.context() as patch:
            patch.setattr(rendering, "draw_ridges", only)
            return _around_disc(_scene())

    return rendered


def test_it_is_bone_of_the_bodies_above_and_below(
    with_ridge: Callable[[Ridge], Rendered],
) -> None:
    scene = _scene()
    without, ridged = _around_disc(_scene(FIRST)), with_ridge(_ridge(scene))
    changed = without.labels != ridged.labels
    assert int(changed.sum()) > 100
    assert set(ridged.labels[changed].unique().tolist()) == {LABEL_OF["C4"], LABEL_OF["C5"]}
    assert float(ridged.hu[changed].mean()) > float(without.hu[changed].mean()) + 100
    heights = [
        float(np.argwhere((changed & (ridged.labels == LABEL_OF[level])).numpy())[:, 2].mean())
        for level in ("C4", "C5")
    ]
    assert heights[0] > heights[1]


def test_a_lens_on_one_side_leaves_the_bone_on_the_other(
    with_ridge: Callable[[Ridge], Rendered],
) -> None:
    scene = _scene()
    width = _disc(scene)[1][0]
    without = _around_disc(_scene(FIRST))
    for side in (1.0, -1.0):
        shifted = replace(_ridge(scene), middle=(side * 0.5 * width, 0.0))
        ridged = with_ridge(shifted)
        added = np.argwhere((ridged.labels != without.labels).numpy()).astype(float)
        off = ridged.geometry.to_world(added) - 0.5 * (scene.world("C4") + scene.world("C5"))
        assert side * np.mean(off[:, 0]) < -1.0


def test_the_lens_and_the_line_stay_disc(with_ridge: Callable[[Ridge], Rendered]) -> None:
    scene = _scene()
    grown, parted = (
        with_ridge(replace(_ridge(scene), line_mm=thickness)) for thickness in (0.0, 2.0)
    )
    frame, half = _disc(scene)
    ridge = _ridge(scene)
    centre = torch.from_numpy(frame.to_scene(np.array([*ridge.middle, 0.0])))[:, None]
    assert float(ridge.distance(centre)) > 2.0
    edge = torch.from_numpy(frame.to_scene(np.array([0.0, -0.8 * half[1], 0.3])))[:, None]
    assert float(ridge.distance(edge)) < 0 < float(replace(ridge, line_mm=2.0).distance(edge))
    discs = [int((one.labels == DISC).sum()) for one in (grown, parted)]
    assert 0 < discs[0] < discs[1]


def test_necks_have_them_at_few_or_at_most_discs() -> None:
    frame = Frame(np.zeros(3), np.eye(3), np.ones(3))
    drawn = [draw_ridges(seed, [(frame, (8.0, 8.0, 3.0))] * 8) for seed in range(200)]
    shares = [np.mean([ridge is not None for ridge in neck]) for neck in drawn]
    assert 0.4 < np.mean(shares) < 0.6
    assert min(shares) < 0.15
    assert max(shares) > 0.85
    points = torch.from_numpy(np.random.default_rng(1).uniform(-25, 25, (3, 500)))
    for ridge in (one for neck in drawn[:30] for one in neck if one is not None):
        outside = points.abs().amax(0) > ridge.reach
        assert bool((ridge.distance(points)[outside] > 0).all())


def test_the_rest_of_the_neck_is_as_before() -> None:
    without, ridged = _scene(FIRST), _scene()
    for level, vertebra in without.spine.items():
        other = ridged.spine[level]
        np.testing.assert_array_equal(vertebra.frame.origin, other.frame.origin)
    differing = (_around_disc(without).labels != _around_disc(ridged).labels).float().mean()
    assert float(differing) < 0.15
