"""A scene on a grid: anatomy where it belongs, whatever the grid's axes are."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import DISC, LABEL_OF, LEVELS, THORACIC
from cspine_zoo.ct.geometry import Geometry, to_ras
from cspine_zoo.synthetic.fracture import Cut, Fracture
from cspine_zoo.synthetic.morphometry import SIZES
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.spine import build_spine
from cspine_zoo.synthetic.vertebra import REACH_MM, Variation, parametric


def _centroid(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    return geometry.to_world(np.argwhere(mask).astype(float)).mean(0)


def test_same_seed_same_voxels_other_seed_another_patient(
    scene: Scene, rendered: Rendered, neck_grid: Geometry
) -> None:
    again = render(Scene.draw(scene.seed), neck_grid)
    assert torch.equal(again.hu, rendered.hu)
    assert torch.equal(again.labels, rendered.labels)
    other = render(Scene.draw(scene.seed + 1), neck_grid)
    assert not torch.equal(other.hu, rendered.hu)
    assert not torch.equal(other.labels, rendered.labels)


def test_levels_follow_one_another_down_the_spine(rendered: Rendered) -> None:
    labels = rendered.labels.numpy()
    assert set(np.unique(labels)) == {0, *LABEL_OF.values(), THORACIC, DISC}
    heights = [_centroid(labels == LABEL_OF[level], rendered.geometry)[2] for level in LEVELS]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] > _centroid(labels == THORACIC, rendered.geometry)[2]


def test_tissues_have_their_hounsfield_units(rendered: Rendered) -> None:
    hu, labels = rendered.hu.numpy(), rendered.labels.numpy()
    bone = np.isin(labels, [*LABEL_OF.values(), THORACIC])
    assert 100 < np.median(hu[bone]) < 1600
    assert 0 < np.median(hu[labels == DISC]) < np.median(hu[bone])
    assert hu.min() < -900
    assert np.isfinite(hu).all()


@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), (0,)), ((0, 1, 2), (2,)), ((2, 0, 1), (0, 1)), ((1, 2, 0), ())]
)
def test_the_axes_of_the_grid_do_not_move_the_patient(
    scene: Scene, rendered: Rendered, order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    """A grid stored in another order shows the same labels at the same places.

    Texture depends on the grid, so HU may differ; where bone is may not.
    """
    grid = rendered.geometry
    affine = grid.affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
        affine[:3, axis] *= -1
    affine[:3, :3] = affine[:3, list(order)]
    shape = (grid.shape[order[0]], grid.shape[order[1]], grid.shape[order[2]])
    turned = render(scene, Geometry(shape, affine))
    assert turned.geometry.orientation != "RAS"
    ras, back = to_ras(turned.labels.numpy(), affine)
    np.testing.assert_allclose(back, grid.affine, atol=1e-9)
    labels = rendered.labels.numpy()
    assert (ras == labels).mean() > 0.999
    own_mirror = labels[::-1]
    assert (own_mirror == labels).mean() < 0.99


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_right_is_right(scene: Scene, neck_grid: Geometry, side: float) -> None:
    """World x grows to the patient's left in LPS and to the right in RAS: here it is RAS."""
    spine = scene.spine["C4"]
    x, y, z = spine.shape.landmark("pillar")
    rough = Waves.draw(stream(1, "rough"), 1, 0.3, (4.0, 20.0))
    cut = Cut(np.array([side * x, y, z]), np.array([0.0, 0.5, 0.87]), 9.0, 2.0, np.zeros(3), rough)
    broken = render(scene.with_fractures({"C4": Fracture("facet", (cut,))}), neck_grid)
    place = _centroid(broken.fractures.numpy() == LABEL_OF["C4"], neck_grid)
    assert side * (place[0] - scene.world("C4")[0]) > 8.0
    assert scene.pose.rotation[0, 0] > 0.9


# Volumes in cm3 and extents x, y, z in mm of the two real specimens that the reference lists.
REFERENCE = {
    "C1": ((15, 22), (82, 90), (47, 54), (28, 35)),
    "C2": ((19, 28), (56, 70), (52, 59), (44, 56)),
    "C3": ((12, 19), (55, 67), (45, 53), (26, 36)),
    "C5": ((14, 19), None, None, None),
    "C7": ((16, 27), (69, 81), (63, 71), (32, 41)),
}
# The generator's average is slimmer than the two specimens: its volumes reach 0.78 of the lower
# one; and its heights are taken in the vertebra's own frame, where no tilt adds to them.
VOLUME_SLACK, WIDTH_SLACK, HEIGHT_SLACK = 0.78, 0.93, 0.75


@pytest.mark.parametrize("level", REFERENCE)
def test_an_average_vertebra_has_the_size_of_real_ones(level: str) -> None:
    axes = [torch.arange(low, high, 1.5) for low, high in REACH_MM]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    solid = points[:, parametric(level, SIZES[level], Variation()).distance(points) < 0]
    volume, *extents = REFERENCE[level]
    assert volume[0] * VOLUME_SLACK < solid.shape[1] * 1.5**3 / 1000 < volume[1]
    spans = (solid.amax(1) - solid.amin(1) + 1.5).tolist()
    slacks = (WIDTH_SLACK, WIDTH_SLACK, HEIGHT_SLACK)
    for span, extent, slack in zip(spans, extents, slacks, strict=True):
        if extent is not None:
            assert extent[0] * slack < span < extent[1]


def test_spines_vary_as_much_as_real_ones_do() -> None:
    """Pitch from 12 to 23 mm a level, C1 to C7 about the 137 mm of a real stack."""
    pitches, stacks, tilts = [], [], []
    for seed in range(60):
        spine = build_spine(seed)
        origins = [spine[level].frame.origin for level in LEVELS]
        steps = [float(np.linalg.norm(a - b)) for a, b in pairwise(origins[2:])]
        pitches += steps
        stacks.append(float(origins[0][2] - origins[-1][2]))
        across = spine["C3"].frame.rotation[:, 2]
        tilts.append(float(np.degrees(np.arctan2(across[1], across[2]))))
    assert 11.5 < min(pitches) < 14
    assert 20 < max(pitches) < 24
    assert 95 < np.median(stacks) < 140
    assert np.ptp(tilts) > 25


def test_nothing_is_drawn_where_the_patient_is_not(scene: Scene) -> None:
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = scene.world("C4") + np.array([900, 0, 0])
    empty = render(scene, Geometry((6, 6, 6), affine))
    assert float(empty.hu.max()) < -900
    assert int(empty.labels.max()) == int(empty.fractures.max()) == 0
