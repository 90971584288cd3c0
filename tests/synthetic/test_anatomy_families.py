"""Families of anatomy: each moves something, none confuses sides, twins or seeds."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.families import ATLAS, FIRST, PITCH, SHAPE, VIEW, Families
from cspine_zoo.synthetic.fracture import Cut, Fracture
from cspine_zoo.synthetic.morphometry import SIZES
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.spine import build_spine
from cspine_zoo.synthetic.stack import PITCH_MM

ANATOMY = (PITCH, ATLAS, VIEW, SHAPE)
SEED = 21


def _grid(centre: np.ndarray, shape: tuple[int, int, int], spacing_mm: float) -> Geometry:
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = centre - 0.5 * spacing_mm * (np.array(shape) - 1)
    return Geometry(shape, affine)


def _broken_on(side: float, scene: Scene) -> Scene:
    x, y, z = scene.spine["C4"].shape.landmark("pillar")
    rough = Waves.draw(stream(1, "rough"), 1, 0.3, (4.0, 20.0))
    cut = Cut(np.array([side * x, y, z]), np.array([0.0, 0.5, 0.87]), 9.0, 2.5, np.zeros(3), rough)
    return scene.with_fractures({"C4": Fracture("facet", (cut,))})


def _around_c4(scene: Scene) -> Rendered:
    return render(scene, _grid(scene.world("C4") - [0, 12, 0], (16, 16, 9), 5.0))


@pytest.mark.parametrize(
    "families",
    [
        pytest.param(frozenset(ANATOMY), id="all"),
        *(pytest.param(frozenset({name}), id=name, marks=pytest.mark.slow) for name in ANATOMY),
    ],
)
def test_families_keep_right_on_the_right_and_twins_alike(families: Families) -> None:
    scene = Scene.draw(SEED, families=families)
    whole, again = _around_c4(scene), _around_c4(Scene.draw(SEED, families=families))
    assert torch.equal(whole.hu, again.hu)
    assert torch.equal(whole.labels, again.labels)
    for side in (-1.0, 1.0):
        broken = _around_c4(_broken_on(side, scene))
        hurt = np.argwhere((broken.fractures == LABEL_OF["C4"]).numpy())
        place = broken.geometry.to_world(hurt.astype(float)).mean(0)
        assert side * (place[0] - scene.world("C4")[0]) > 6.0
        changed = np.argwhere((broken.hu != whole.hu).numpy())
        reach = broken.geometry.to_world(changed.astype(float)) - place
        assert len(changed) > 0
        assert np.linalg.norm(reach, axis=1).max() < 20.0


@pytest.mark.slow
@pytest.mark.parametrize("family", ANATOMY)
def test_a_family_changes_the_scene(family: str) -> None:
    """In some of its draws at the latest: a patient lies askew in one of two."""
    changed = []
    for seed in range(SEED, SEED + 6):
        scene, first = Scene.draw(seed, families=frozenset({family})), Scene.draw(seed)
        grid = _grid(first.world("C2"), (10, 12, 16), 8.0)
        assert scene.families != first.families == FIRST
        changed.append(not torch.equal(render(scene, grid).hu, render(first, grid).hu))
    assert any(changed)


@pytest.mark.slow
def test_pitch_runs_from_12_to_23_mm_whatever_the_neighbour_and_the_width() -> None:
    pitches, widths = [], []
    for seed in range(80):
        spine = build_spine(seed, families=frozenset({PITCH}))
        origins = [spine[f"C{i}"].frame.origin for i in range(3, 8)]
        pitches.append([float(np.linalg.norm(a - b)) for a, b in pairwise(origins)])
        widths.append(spine["C5"].frame.scale[0])
    spread = np.array(pitches)
    assert PITCH_MM[0] - 0.01 < spread.min() < 12.5
    assert 22 < spread.max() < PITCH_MM[1] + 0.01
    assert np.quantile(np.abs(np.diff(spread, axis=1)), 0.9) > 3.0
    assert abs(np.corrcoef(spread.mean(1), widths)[0, 1]) < 0.3


@pytest.mark.slow
def test_skull_atlas_and_axis_lie_a_cartilage_apart() -> None:
    """Neither floats above the other nor cuts into it, however the head is turned."""
    turns = []
    for seed in range(24):
        scene = Scene.draw(seed, families=frozenset({ATLAS}))
        upper, lower = scene.spine["C1"], scene.spine["C2"]
        axes = [torch.arange(low, high, 2.5) for low, high in ((-36, 36), (-40, 24), (-8, 44))]
        local = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        turned = torch.from_numpy(lower.frame.rotation).float() @ local
        points = turned + torch.from_numpy(lower.frame.origin).float()[:, None]
        c1, c2 = (bone.distance(bone.to_local(points)) for bone in (upper, lower))
        skull = scene.body.skull(points)
        for first, second in ((c1, c2), (skull, c1)):
            apart = 2 * float(torch.maximum(first, second).min())
            assert apart < 4.0
            assert int(((first < -1) & (second < -1)).sum()) < 0.04 * int((c1 < 0).sum())
        nose = lower.frame.rotation.T @ upper.frame.rotation[:, 1]
        turns.append(float(np.degrees(np.arctan2(nose[0], nose[1]))))
    assert max(np.abs(turns)) > 25
    assert np.median(np.abs(turns)) < 15


# Half widths and half depths in mm of the bodies in two label maps of real necks.
BODIES = {"C3": (10.6, 9.0), "C7": (13.3, 8.9)}


@pytest.mark.parametrize("level", BODIES)
def test_bodies_are_as_large_as_those_of_real_necks(level: str) -> None:
    spines = [build_spine(seed, families=frozenset({SHAPE})) for seed in range(6)]
    sizes = np.array([[s[level].size.half_width, s[level].size.half_depth] for s in spines])
    average = np.array([SIZES[level].half_width, SIZES[level].half_depth])
    assert (average < np.array(BODIES[level])).all()
    np.testing.assert_allclose(sizes.mean(0), BODIES[level], rtol=0.1)
    body = torch.tensor([[0.8 * average[0]], [0.0], [0.0]], dtype=torch.float32)
    assert all(float(s[level].shape.distance(body)) < -0.5 for s in spines)


def test_worn_and_deformed_vertebrae_do_not_fold_or_fall_apart() -> None:
    """The body's centre stays bone, the canal stays open, and the distance stays a distance."""
    for seed in range(4):
        for level, vertebra in build_spine(seed, families=frozenset({SHAPE, ATLAS})).items():
            if level == "C1":
                continue
            size = vertebra.size
            middle = -size.half_depth - 0.5 * size.canal_depth
            points = torch.tensor([[0.0, 0.0], [0.0, middle], [0.0, 0.0]])
            body, canal = vertebra.shape.distance(points).tolist()
            assert body < -2.0, level
            assert canal > 1.0, level
