"""Families that change how bone looks: what each changes, and what it must leave alone."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.bone import BoneQuality, BoneTexture
from cspine_zoo.synthetic.families import BONE_TEXTURE, HARD_NEGATIVES, JOINTS
from cspine_zoo.synthetic.fracture import Cut, Fracture
from cspine_zoo.synthetic.joints import draw_disc_hu, draw_facets
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.speckle import Speckle
from cspine_zoo.synthetic.vertebra import VertebraShape
from tests.synthetic.conftest import grid_around

LOOKS = (BONE_TEXTURE, HARD_NEGATIVES)
LEVEL = "C5"


@dataclass(frozen=True)
class RightHalf:
    """A vertebra without its left half."""

    whole: VertebraShape

    def distance(self, points: Tensor) -> Tensor:
        return torch.maximum(self.whole.distance(points), -points[0])

    def landmark(self, name: str) -> tuple[float, float, float]:
        return self.whole.landmark(name)


@pytest.fixture(scope="module")
def grid(scene: Scene) -> Geometry:
    return grid_around(np.asarray(scene.world(LEVEL)) - [0, 12, 0], (24, 26, 14), 2.0)


@pytest.fixture(scope="module")
def plain(scene: Scene, grid: Geometry) -> Rendered:
    return render(scene, grid)


def wearing(scene: Scene, family: str) -> Scene:
    return replace(scene, families=frozenset({family}))


def broken(scene: Scene) -> Scene:
    """A narrow gap across the body, and a spinous process torn off."""
    shape = scene.spine[LEVEL].shape
    rough = Waves.draw(stream(1, "rough"), 1, 0.2, (4.0, 20.0))
    gap = Cut(np.array(shape.landmark("body")), np.array([1.0, 0, 0]), 9.0, 2.0, np.zeros(3), rough)
    shift = np.array([0.0, -2.5, 0.0])
    tear = Cut(np.array(shape.landmark("spinous")), -np.eye(3)[1], 9.0, 1.0, shift, rough)
    return scene.with_fractures({LEVEL: Fracture("test", (gap, tear))})


@pytest.mark.parametrize("family", LOOKS)
def test_a_look_changes_bone_and_no_truth(
    scene: Scene, grid: Geometry, plain: Rendered, family: str
) -> None:
    other = render(wearing(scene, family), grid)
    changed = (other.hu - plain.hu).abs() > 25
    bone = plain.labels == LABEL_OF[LEVEL]
    assert int((changed & bone).sum()) > 20
    assert torch.equal(other.labels, plain.labels)
    fractured, first = (render(broken(s), grid) for s in (wearing(scene, family), scene))
    assert torch.equal(fractured.fractures, first.fractures)
    assert torch.equal(fractured.labels, first.labels)


@pytest.mark.parametrize("family", [*LOOKS, JOINTS])
def test_twins_look_the_same_outside_the_fracture(
    scene: Scene, grid: Geometry, family: str
) -> None:
    whole = render(wearing(scene, family), grid)
    other = render(broken(wearing(scene, family)), grid)
    changed = ((other.hu - whole.hu).abs() > 1).numpy()
    centres = [
        scene.pose.to_scene(scene.spine[LEVEL].frame.to_scene(cut.point))
        for cut in broken(scene).spine[LEVEL].fracture.cuts
    ]
    where = grid.to_world(np.argwhere(changed).astype(float))
    away = np.linalg.norm(where[:, None] - np.stack(centres)[None], axis=2).min(1)
    assert changed.any()
    assert away.max() < 18.0  # reach of the cuts, the shift, the warp and a voxel


def test_joints_add_articular_processes_and_a_line_between_them(
    scene: Scene, grid: Geometry, plain: Rendered
) -> None:
    """Labels grow by the processes, each voxel by that of its own vertebra, and lose nothing."""
    other = render(wearing(scene, JOINTS), grid)
    held = plain.labels > 0
    assert torch.equal(other.labels[held], plain.labels[held])
    assert torch.equal(other.fractures, plain.fractures)
    facet = next(f for f in draw_facets(scene.seed, scene.spine) if f.labels[0] == LABEL_OF[LEVEL])
    middle = torch.tensor(facet.ends).mean(0)[:, None]
    across = torch.tensor(facet.normal, dtype=torch.float32)[:, None]
    line = facet.line(torch.cat((middle, middle + 4 * across), dim=1), 0.5)
    assert float(line[0]) > 0.3 > 0 == float(line[1])
    _, _, label = facet.processes(torch.cat((middle + 3 * across, middle - 3 * across), dim=1))
    assert label.tolist() == list(facet.labels)
    assert int((other.labels > plain.labels).sum()) > 5
    assert float((other.hu - plain.hu).abs().max()) > 100


def test_worn_discs_are_the_exception() -> None:
    densities = np.array([draw_disc_hu(seed, 6, 80.0) for seed in range(150)])
    usual = np.abs(densities - 80) < 45
    assert 0.8 < usual.mean() < 0.98
    assert densities.min() < -100 < 300 < densities.max()


@pytest.mark.parametrize("family", [*LOOKS, JOINTS])
def test_a_look_keeps_the_left_on_the_left(scene: Scene, grid: Geometry, family: str) -> None:
    half = replace(scene.spine[LEVEL], shape=RightHalf(scene.spine[LEVEL].shape))
    lone = replace(wearing(scene, family), spine={**scene.spine, LEVEL: half})
    rendered = render(lone, grid)
    label = LABEL_OF[LEVEL]
    missing = (render(scene, grid).labels == label) & (rendered.labels == 0)
    deep = torch.from_numpy(ndimage.binary_erosion(missing.numpy()))
    there = rendered.labels == label
    assert int(deep.sum()) > 30
    assert float(rendered.hu[deep].mean()) < 130 < 200 < float(rendered.hu[there].mean())


@pytest.mark.slow
def test_bone_is_a_matter_of_place_and_not_of_the_grid(scene: Scene) -> None:
    """Half of the points give the same half of the values."""
    texture = BoneTexture.draw(scene.seed, LEVEL)
    points = 8 * torch.randn(3, 400, generator=torch.Generator().manual_seed(1))
    depth = -torch.rand(400, generator=torch.Generator().manual_seed(2)) * 6
    together = texture.hu(points, depth, (1.0, 1.0, 1.0))
    alone = texture.hu(points[:, ::2], depth[::2], (1.0, 1.0, 1.0))
    torch.testing.assert_close(together[::2], alone, atol=0.05, rtol=0)
    assert float(together.std()) > 40


def test_patients_run_from_osteopenic_to_dense() -> None:
    patients = [BoneQuality.draw(stream(seed, "bone-texture")) for seed in range(200)]
    spongy = np.array([p.spongy for p in patients])
    assert spongy.min() < 150 < 520 < spongy.max()
    thin = np.array([p.wall_mm for p in patients])
    assert thin.min() < 0.3 < 1.0 < thin.max()


def test_a_neck_with_thin_cortex_and_one_without_pockets(scene: Scene) -> None:
    """The surface is denser than the middle where cortex is thick, and is not where it is thin."""
    texture = BoneTexture.draw(scene.seed, LEVEL)
    middle = torch.zeros(3, 64) + 3 * torch.randn(3, 64, generator=torch.Generator().manual_seed(3))
    contrast = {}
    for wall in (0.05, 2.0):
        quality = replace(texture.quality, wall_mm=wall, spongy=200.0, grain=(0.0,) * 4)
        bone = replace(texture, quality=quality, canals=())
        surface, deep = (
            bone.hu(middle, torch.full((64,), depth), (0.5, 0.5, 0.5)).mean()
            for depth in (-0.3, -6.0)
        )
        contrast[wall] = float(surface - deep)
    assert contrast[0.05] < 100 < 300 < contrast[2.0]


def test_speckle_has_its_variance_and_its_scale() -> None:
    field = Speckle.draw(stream(3, "speckle"), 2.0)
    points = 200 * torch.rand(3, 20_000, generator=torch.Generator().manual_seed(4))
    values = field.at(points)
    assert float(values.mean()) == pytest.approx(0, abs=0.05)
    assert float(values.std()) == pytest.approx(1, abs=0.1)

    def together(step: float) -> float:
        moved = field.at(points + torch.tensor([[step], [0.0], [0.0]]))
        return float((values * moved).mean())

    assert together(0.3) > 0.85
    assert abs(together(9.0)) < 0.15
    assert field.visible((4.0, 1.0, 1.0)) == pytest.approx(0.5**0.5)
