"""Fractures: which levels, where in them, and that nothing else gives them away."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.rsna.prevalence import TRAINING_PREVALENCE
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.fracture import (
    SITES,
    Cut,
    Fracture,
    draw_fracture,
    draw_levels,
)
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.study import (
    VISIBLE_MM3,
    StudyPreset,
    SyntheticStudy,
    draw_twins,
)
from tests.synthetic.conftest import grid_around

COARSE = StudyPreset(
    pixel_mm=(3.5, 4.0),
    slice_mm=(3.5, 4.0),
    field_mm=(120.0, 130.0),
    above_mm=(5.0, 10.0),
    below_mm=(5.0, 10.0),
)


@pytest.fixture(scope="module")
def twins() -> tuple[SyntheticStudy, SyntheticStudy]:
    return draw_twins(5, COARSE)


def _split(scene: Scene, level: str, gap_mm: float) -> Scene:
    """A gap straight through a vertebral body, nothing displaced."""
    rough = Waves.draw(stream(1, "rough"), 1, 0.2, (4.0, 20.0))
    point = np.array(scene.spine[level].shape.landmark("body"))
    cut = Cut(point, np.array([0.0, 0.0, 1.0]), 12.0, gap_mm, np.zeros(3), rough)
    return scene.with_fractures({level: Fracture("body", (cut,))})


def test_levels_break_as_often_and_as_together_as_in_patients() -> None:
    rng = stream(1, "levels")
    patients = [set(draw_levels(rng)) for _ in range(4000)]
    share = {level: sum(level in p for p in patients) / len(patients) for level in LEVELS}
    assert all(patients)
    assert share["C7"] == max(share.values())
    assert share["C3"] == min(share.values())
    # Order of RSNA 2022's frequencies among levels that neighbours do not lift much.
    assert share["C2"] > share["C1"] > share["C3"]
    # Among fractured patients; RSNA's shares are of all, 47.6 % of whom are fractured.
    for level, odds in zip(LEVELS, TRAINING_PREVALENCE[:7], strict=True):
        assert 0.5 < share[level] / (odds / 0.476) < 2.2
    with_c6 = [p for p in patients if "C6" in p]
    assert 0.3 < sum("C5" in p for p in with_c6) / len(with_c6) < 0.6
    far = sum("C1" in p for p in with_c6) / len(with_c6)
    assert far < 0.5 * share["C1"]
    sizes = Counter(len(p) for p in patients)
    assert sizes[1] > sizes[2] > sizes[3]


@pytest.mark.parametrize("level", LEVELS)
def test_every_site_lies_in_its_bone(level: str) -> None:
    shape = Scene.draw(2).spine[level].shape
    for site in SITES[level]:
        point = torch.tensor(shape.landmark(site.landmark), dtype=torch.float32)[:, None]
        assert float(shape.distance(point)) < 1.0, site


def test_drawn_fractures_are_of_their_level_and_range() -> None:
    scene = Scene.draw(2)
    drawn = [
        (level, draw_fracture(stream(seed, "f", level), level, scene.spine[level].shape))
        for seed in range(40)
        for level in LEVELS
    ]
    gaps = [cut.gap_mm for _, fracture in drawn for cut in fracture.cuts]
    assert 0.3 < min(gaps) < 0.6
    assert 2.0 < max(gaps) < 2.9
    for level, fracture in drawn:
        assert fracture.kind in {site.kind for site in SITES[level]}
        assert fracture.cuts
        assert fracture.displacement_mm < 7.0
    still = np.mean([fracture.displacement_mm == 0 for _, fracture in drawn])
    assert 0.4 < still < 0.8
    assert Fracture.none().displacement_mm == 0.0


def test_a_fracture_lies_in_its_own_vertebra(
    twins: tuple[SyntheticStudy, SyntheticStudy],
) -> None:
    broken, whole = twins
    assert max(broken.levels().values()) == 1
    assert set(whole.levels().values()) == {0}
    assert not whole.fractures.any()
    for label in np.unique(broken.fractures[broken.fractures > 0]):
        region = broken.fractures == label
        assert (broken.labels[region] == label).mean() > 0.6
        near = ndimage.binary_dilation(broken.labels == label, iterations=1)
        assert near[region].mean() > 0.95


def test_twins_differ_near_the_fracture_and_nowhere_else(
    twins: tuple[SyntheticStudy, SyntheticStudy],
) -> None:
    broken, whole = twins
    assert broken.acquisition == whole.acquisition
    assert broken.conspicuity > 0 == whole.conspicuity
    # One step of rounding may go either way; anything more is a difference.
    changed = np.abs(broken.hu - whole.hu) > 1
    assert changed.any()
    assert (broken.hu == whole.hu).mean() > 0.9
    places = np.stack([centre for centre in _cut_centres(broken.scene)])
    where = broken.geometry.to_world(np.argwhere(changed).astype(float))
    away = np.linalg.norm(where[:, None] - places[None], axis=2).min(1)
    # Reach of a cut (20 mm), the shift of its fragment (5), the warp (3) and the blur (8).
    assert away.max() < 36.0


def _cut_centres(scene: Scene) -> list[np.ndarray]:
    return [
        scene.pose.to_scene(vertebra.frame.to_scene(cut.point))
        for vertebra in scene.spine.values()
        for cut in vertebra.fracture.cuts
    ]


def test_a_gap_without_displacement_changes_its_own_voxels_alone(scene: Scene) -> None:
    grid = grid_around(scene.world("C5"), (24, 24, 16), 2.0)
    whole, broken = render(scene, grid), render(_split(scene, "C5", 2.5), grid)
    changed = ((broken.hu - whole.hu).abs() > 0.5).numpy()
    region = broken.fractures.numpy() == LABEL_OF["C5"]
    assert torch.equal(broken.labels, whole.labels)
    assert region.sum() > 30
    assert changed[region].mean() > 0.5
    assert not (changed & ~ndimage.binary_dilation(region, iterations=1)).any()
    darker = (broken.hu - whole.hu).numpy()[region]
    assert np.median(darker) < -50


def test_a_displaced_fragment_moves_bone_where_none_was(scene: Scene) -> None:
    grid = grid_around(scene.world("C5"), (24, 24, 16), 2.0)
    split = _split(scene, "C5", 1.0)
    fracture = split.spine["C5"].fracture
    moved = replace(fracture, cuts=(replace(fracture.cuts[0], shift=np.array([0.0, 4.0, 0.0])),))
    whole, broken = render(scene, grid), render(scene.with_fractures({"C5": moved}), grid)
    own = LABEL_OF["C5"]
    gained = (broken.labels == own) & (whole.labels != own)
    lost = (broken.labels != own) & (whole.labels == own)
    assert moved.displacement_mm == 4.0
    assert int(gained.sum()) > 15
    assert int(lost.sum()) > 15


def test_flags_follow_what_remains_in_view(scene: Scene) -> None:
    """The same patient, scanned whole and only down to C4."""
    both = _split(scene, "C3", 2.5)
    both = both.with_fractures({"C6": _split(scene, "C6", 2.5).spine["C6"].fracture})
    full = grid_around(0.5 * (scene.world("C3") + scene.world("C6")), (16, 16, 34), 3.0)
    cut = full.cropped((0, 0, 17), (16, 16, 17))
    flags = {name: _levels(both, grid) for name, grid in (("full", full), ("cut", cut))}
    assert flags["full"] == ["C3", "C6"]
    assert flags["cut"] == ["C3"]


def _levels(scene: Scene, grid: Geometry) -> list[str]:
    rendered = render(scene, grid)
    acquisition = Acquisition.draw(stream(1, "a"), (1.0, 2.0))
    study = SyntheticStudy(
        rendered.hu.numpy(),
        rendered.labels.numpy(),
        rendered.fractures.numpy(),
        grid,
        scene,
        acquisition,
        0.0,
    )
    visible = np.bincount(study.fractures.ravel(), minlength=8) * grid.voxel_mm3
    levels = study.levels()
    assert [bool(visible[LABEL_OF[level]] >= VISIBLE_MM3) for level in LEVELS] == [
        bool(levels[level]) for level in LEVELS
    ]
    return [level for level in LEVELS if levels[level]]


def test_the_same_seed_is_the_same_scan(twins: tuple[SyntheticStudy, SyntheticStudy]) -> None:
    again = draw_twins(5, COARSE)
    for first, second in zip(twins, again, strict=True):
        assert np.array_equal(first.hu, second.hu)
        assert np.array_equal(first.labels, second.labels)
        assert np.array_equal(first.fractures, second.fractures)


def test_noise_is_the_scanners_and_not_the_fractures() -> None:
    hu = torch.zeros(20, 20, 20)
    quiet = Acquisition(kernel_mm=0.0, slice_mm=0.0, noise_hu=20.0, grain_mm=0.5, streak_hu=0.0)
    neck, shoulders = torch.zeros(20), torch.ones(20)
    first = quiet.apply(hu, (1.0, 1.0, 1.0), 3, neck)
    assert torch.equal(first, quiet.apply(hu, (1.0, 1.0, 1.0), 3, neck))
    assert not torch.equal(first, quiet.apply(hu, (1.0, 1.0, 1.0), 4, neck))
    assert float(first.std()) == pytest.approx(20.0, rel=0.05)
    assert float(quiet.apply(hu, (1.0, 1.0, 1.0), 3, shoulders).std()) > 40
    assert torch.equal(first, first.round())
