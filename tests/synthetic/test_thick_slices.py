"""Thick slices: averages of what lies in them, in place, with the profile that was asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.families import THICK_SLICES
from cspine_zoo.synthetic.patches import PatchPreset, draw_patch, resliced
from cspine_zoo.synthetic.render import Rendered, layers_of_a_slice, render
from cspine_zoo.synthetic.scan import scanned
from cspine_zoo.synthetic.scene import Scene

SEED = 4
PIXEL_MM = 2.0
THICK_MM = 6.0


def _grid(centre: np.ndarray, shape: tuple[int, int, int], thickness_mm: float) -> Geometry:
    """Around a point, whatever the thickness: the same field."""
    affine = np.diag([PIXEL_MM, -PIXEL_MM, thickness_mm, 1.0])
    affine[:3, 3] = centre - affine[:3, :3] @ (0.5 * (np.array(shape) - 1))
    return Geometry(shape, affine)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.draw(SEED, families=frozenset({THICK_SLICES}))


def test_a_slice_is_the_average_of_thin_ones_with_the_truth_of_its_middle(scene: Scene) -> None:
    centre = scene.world("C4")
    thick = render(scene, _grid(centre, (24, 26, 8), THICK_MM))
    thin = render(replace(scene, families=frozenset()), _grid(centre, (24, 26, 24), THICK_MM / 3))
    assert thick.averaged_mm == THICK_MM
    assert thin.averaged_mm == 0.0
    torch.testing.assert_close(thick.hu, thin.hu.unflatten(2, (8, 3)).mean(3))
    assert torch.equal(thick.labels, thin.labels[:, :, 1::3])
    assert not torch.equal(thick.hu, thin.hu[:, :, 1::3])
    here = np.argwhere((thick.labels == LABEL_OF["C4"]).numpy()).astype(float)
    off = thick.geometry.to_world(here).mean(0) - centre
    assert abs(off[0]) < 2.0
    assert abs(off[2]) < THICK_MM


def test_left_stays_left(scene: Scene) -> None:
    """Jaw, shoulders and vessels are alike on both sides: a leaning head is not."""
    leaning = next(
        drawn
        for drawn in (Scene.draw(seed, families=scene.families) for seed in range(40))
        if abs(drawn.world("C1")[0] - drawn.world("C7")[0]) > 12
    )
    for level in ("C1", "C7"):
        centre = leaning.world(level)
        rendered = render(leaning, _grid(np.array([0.0, *centre[1:]]), (60, 26, 6), THICK_MM))
        here = np.argwhere((rendered.labels == LABEL_OF[level]).numpy()).astype(float)
        assert rendered.geometry.to_world(here).mean(0)[0] == pytest.approx(centre[0], abs=3.0)


@pytest.mark.parametrize(
    ("spacing_mm", "layers"),
    [
        ((0.4, 0.4, 0.6), 1),
        ((0.8, 0.8, 1.5), 1),
        ((0.8, 0.8, 1.6), 3),
        ((1.0, 1.0, 3.0), 3),
        ((0.7, 0.7, 4.0), 5),
        ((2.0, 2.0, 2.0), 1),
        ((2.0, 2.0, 6.0), 3),
    ],
)
def test_layers_are_about_as_thin_as_pixels_are_wide(
    spacing_mm: tuple[float, float, float], layers: int
) -> None:
    assert layers_of_a_slice(Geometry((4, 4, 4), np.diag([*spacing_mm, 1.0]))) == layers


@pytest.mark.parametrize("averaged_mm", [0.0, 3.0])
def test_the_profile_is_as_wide_whether_it_is_averaged_or_blurred(averaged_mm: float) -> None:
    """A point's standard deviation along the scan is that of a Gaussian of the given width."""
    scan = Acquisition(kernel_mm=0.0, slice_mm=4.5, noise_hu=0.0, grain_mm=0.5, streak_hu=0.0)
    hu, spacing = torch.zeros(3, 3, 41), (1.0, 1.0, 3.0)
    hu[1, 1, 20] = 3000.0
    seen = scan.apply(hu, spacing, 1, torch.zeros(41), averaged_mm)[1, 1].double().numpy()
    places = 3.0 * (np.arange(41) - 20)
    variance = float((seen * places**2).sum() / seen.sum()) + averaged_mm**2 / 12
    assert variance**0.5 == pytest.approx(4.5 / 2.355, rel=0.05)


@pytest.mark.parametrize(("voxels", "offset"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 2)])
def test_a_window_of_thicker_slices_keeps_its_places(voxels: int, offset: int) -> None:
    """What a scan says of its slices' world comes back at the window's voxels of that world."""
    grid = Geometry((5, 6, 13), np.diag([-1.5, 1.5, -1.5, 1.0]))
    window = Rendered(
        torch.arange(13.0).expand(5, 6, 13), torch.zeros(5, 6, 13), torch.zeros(5, 6, 13), grid
    )

    def world(rendered: Rendered) -> torch.Tensor:
        assert rendered.averaged_mm == (1.5 * voxels if voxels > 1 else 0.0)
        return world_of(rendered.geometry)

    inside = slice(voxels, 13 - voxels)
    torch.testing.assert_close(
        resliced(window, voxels, offset, world)[..., inside], world_of(grid)[..., inside]
    )
    averaged = resliced(window, voxels, offset, lambda rendered: rendered.hu)
    torch.testing.assert_close(averaged[..., inside], window.hu[..., inside])


def world_of(grid: Geometry) -> torch.Tensor:
    """World coordinates of each voxel as one number."""
    index = np.stack(np.indices(grid.shape), -1).reshape(-1, 3).astype(float)
    told = torch.from_numpy(grid.to_world(index)).float()
    return (told * torch.tensor([1.0, 100.0, 10000.0])).sum(1).reshape(grid.shape)


def test_two_of_three_windows_of_the_family_are_scanned_in_thicker_slices() -> None:
    """The truth stays that of the window."""
    preset = PatchPreset(shapes=((12, 12, 24),), spacing_mm=6.0, families=frozenset({THICK_SLICES}))
    thin = replace(preset, families=frozenset())
    changed = [
        not torch.equal(*(draw_patch(seed, (12, 12, 24), one, []).hu for one in (preset, thin)))
        for seed in range(24)
    ]
    assert 9 <= sum(changed) <= 21
    for seed in range(2):
        labels = [draw_patch(seed, (12, 12, 24), one, []).labels for one in (preset, thin)]
        assert torch.equal(*labels)


def test_a_scan_knows_what_is_averaged_already(scene: Scene) -> None:
    rendered = render(scene, _grid(scene.world("C5"), (16, 16, 8), THICK_MM))
    scan = Acquisition(kernel_mm=0.0, slice_mm=THICK_MM, noise_hu=0.0, grain_mm=0.5, streak_hu=0.0)
    sharp, blurred = (
        scanned(drawn, scene, scan) for drawn in (rendered, replace(rendered, averaged_mm=0.0))
    )
    steps = [float(hu.diff(dim=2).abs().mean()) for hu in (sharp, blurred)]
    assert steps[0] > 1.05 * steps[1]
