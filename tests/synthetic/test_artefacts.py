"""What spoils a scan: it changes the image and no truth, is shared by twins, and swaps no sides."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.artefacts import METAL_HU, spoiled
from cspine_zoo.synthetic.families import (
    ALL,
    BEAM_HARDENING,
    BONE_TEXTURE,
    DEVICES,
    FIRST,
    HARD_NEGATIVES,
    METAL,
    MOTION,
    QUANTUM,
    WILD,
)
from cspine_zoo.synthetic.looks import clutter_hu
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.wild import is_wild, tissues_of
from tests.synthetic.conftest import grid_around

SPOILING = (METAL, MOTION, BEAM_HARDENING, DEVICES)


def wearing(scene: Scene, seed: int, *families: str) -> Scene:
    """The same anatomy with other artefacts: only they draw from the seed from now on."""
    return replace(scene, seed=seed, families=frozenset(families))


@pytest.mark.parametrize("family", SPOILING)
def test_artefacts_are_in_some_scans_and_the_same_in_twins(scene: Scene, family: str) -> None:
    grid = grid_around(scene.world("C3"), (54, 54, 54), 3.0)
    block = torch.full(grid.shape, 40.0)
    block[:, :6] = -1000.0
    block[30:, 20:34] = 600.0  # more bone on the right
    spoilt = [spoiled(wearing(scene, seed, family), grid, block) for seed in range(24)]
    changed = [int(((hu - block).abs() > 5).sum()) for hu in spoilt]
    assert max(changed) > 50
    whole, broken = wearing(scene, 3, family), wearing(scene, 3, family).fractured()
    assert torch.equal(spoiled(whole, grid, block), spoiled(broken, grid, block))
    for hu in spoilt:
        right, left = float(hu[30:, 20:34].mean()), float(hu[:24, 20:34].mean())
        assert right > left + 300
    untouched = wearing(scene, 3)
    assert torch.equal(spoiled(untouched, grid, block), block)


def test_metal_lies_where_the_teeth_are_with_rays_in_its_slices(scene: Scene) -> None:
    head = scene.pose.to_scene(scene.body.head.to_scene(np.array([0.0, 52.0, -18.0])))
    grid = grid_around(head, (40, 40, 24), 2.0)
    soft = torch.full(grid.shape, 40.0)
    jawed = replace(scene, body=replace(scene.body, jaw=True))
    found = [spoiled(wearing(jawed, seed, METAL), grid, soft) for seed in range(24)]
    filled = [hu for hu in found if float(hu.max()) >= METAL_HU]
    assert 3 <= len(filled) <= 16
    for hu in filled:
        metal = (hu >= METAL_HU).any(0).any(0)
        rays = (hu < METAL_HU) & ((hu - 40).abs() > 20)
        assert float(rays[:, :, metal].float().mean()) > 0.03
        near = torch.nn.functional.max_pool1d(metal.float()[None], 7, stride=1, padding=3)[0] > 0
        assert not bool(rays[:, :, ~near].any())


def test_no_artefact_moves_a_label(scene: Scene) -> None:
    grid = grid_around(scene.world("C5"), (14, 14, 10), 4.0)
    plain = render(scene, grid)
    other = replace(scene, families=frozenset({*SPOILING, WILD}))
    assert torch.equal(render(other, grid).labels, plain.labels)


def test_noise_and_kernel_are_apart_from_thickness() -> None:
    drawn = [
        Acquisition.draw(stream(seed, "a"), (0.6, 4.0)).varied(seed, frozenset({QUANTUM}))
        for seed in range(150)
    ]
    noise = np.log([a.noise_hu for a in drawn])
    assert abs(np.corrcoef(noise, [a.slice_mm for a in drawn])[0, 1]) < 0.2
    assert abs(np.corrcoef(noise, [a.kernel_mm for a in drawn])[0, 1]) < 0.2
    plain = Acquisition.draw(stream(1, "a"), (0.6, 4.0))
    assert plain.varied(1, FIRST) == plain


def test_a_sharp_kernel_lifts_edges_and_keeps_sides() -> None:
    hu = torch.zeros(24, 12, 6)
    hu[14:] = 800.0
    soft = Acquisition(1.0, 1.0, 0.0, 0.5, 0.0)
    neck = torch.zeros(6)
    sharp = replace(soft, sharpness=1.2).apply(hu, (1.0, 1.0, 1.0), 3, neck)
    assert float(sharp.max()) > 830 > 801 > float(soft.apply(hu, (1.0, 1.0, 1.0), 3, neck).max())
    assert float(sharp[18:].mean()) > 700 > 100 > float(sharp[:10].mean())
    blotchy = replace(soft, noise_hu=30.0, coarse=0.6).apply(hu, (1.0, 1.0, 1.0), 3, neck)
    fine = replace(soft, noise_hu=30.0).apply(hu, (1.0, 1.0, 1.0), 3, neck)

    def neighbours(image: torch.Tensor) -> float:
        flat = image[:10] - image[:10].mean()
        return float((flat[1:] * flat[:-1]).mean() / flat.square().mean())

    assert neighbours(blotchy) > neighbours(fine) + 0.2


def test_one_patient_in_five_is_wild(scene: Scene) -> None:
    patients = [wearing(scene, seed, WILD) for seed in range(200)]
    wild = [patient for patient in patients if is_wild(patient)]
    assert 22 < len(wild) < 62
    assert not is_wild(wearing(scene, wild[0].seed))
    tame = next(patient for patient in patients if not is_wild(patient))
    assert tissues_of(tame) == tame.tissues
    discs = [tissues_of(patient).disc for patient in wild]
    assert min(discs) < 20 < 180 < max(discs)


def test_clutter_makes_a_fracture_harder_to_see(scene: Scene) -> None:
    uneven = [clutter_hu(wearing(scene, seed, BONE_TEXTURE)) for seed in range(40)]
    assert np.median(uneven) > 100
    both = clutter_hu(wearing(scene, 1, BONE_TEXTURE, HARD_NEGATIVES))
    assert both > clutter_hu(wearing(scene, 1, BONE_TEXTURE))
    tissues = scene.tissues
    first = sum(t * t for t in tissues.texture) ** 0.5 + 60.0 * tissues.clutter
    assert clutter_hu(scene) == first
    assert {*SPOILING, QUANTUM, WILD} <= ALL
