"""Scans cut anywhere, with the truth of what remains in view."""

from dataclasses import replace

import numpy as np
import pytest

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.synthetic.families import FIRST, VIEW
from cspine_zoo.synthetic.patches import PatchPreset, draw_patch
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.study import VISIBLE_MM3, draw_twins
from cspine_zoo.synthetic.synthesize import PRESETS
from cspine_zoo.synthetic.views import ends_anywhere, ends_without_neck

COARSE = {"pixel_mm": (4.0, 4.0), "slice_mm": (4.0, 4.0), "families": FIRST}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_a_scan_without_neck_shows_no_cervical_vertebra(seed: int) -> None:
    preset = replace(PRESETS["no-neck"], **COARSE)
    broken, whole = draw_twins(seed, preset)
    assert set(np.unique(broken.labels)) <= {0, 8}
    assert set(broken.levels().values()) == {0}
    assert set(broken.shares_in_view().values()) == {0.0}
    assert broken.hu.max() > 300  # yet there is a patient in it
    assert np.array_equal(broken.hu, whole.hu)


@pytest.mark.slow
def test_flags_and_shares_are_those_of_what_remains_in_view() -> None:
    """A fracture that the scan cuts off is no fracture of this scan."""
    whole_neck = replace(PRESETS["study"], field_mm=(150.0, 150.0), **COARSE)
    full = draw_twins(8, whole_neck)[0]
    flagged = [level for level, flag in full.levels().items() if flag]
    assert all(share > 0.85 for share in full.shares_in_view().values())
    lowest = max(LEVELS.index(level) for level in flagged)
    reach = (-150.0, -150.0) if lowest < 3 else (-60.0, -60.0)
    cut = draw_twins(8, replace(whole_neck, above_mm=reach, below_mm=(60.0, 60.0)))[0]
    voxels = np.bincount(cut.fractures.ravel(), minlength=8) * cut.geometry.voxel_mm3
    for level, label in LABEL_OF.items():
        assert cut.levels()[level] == int(voxels[label] >= VISIBLE_MM3)
    shares = cut.shares_in_view()
    assert shares["C1"] == 0.0
    assert shares["C7"] > 0.85
    assert 0 < sum(0 < share < 0.85 for share in shares.values()) < 5


@pytest.mark.slow
def test_windows_run_from_vault_to_chest() -> None:
    scene = Scene.draw(4)
    ends = np.array(
        [ends_anywhere(np.random.default_rng(i), scene, (60.0, 220.0)) for i in range(60)]
    )
    above = ends[:, 1] - scene.world("C1")[2]
    below = scene.world("C7")[2] - ends[:, 0]
    assert above.max() > 150
    assert below.max() > 60
    assert (below < -20).any()
    assert 60 <= np.ptp(ends, axis=1).min() < np.ptp(ends, axis=1).max() <= 220
    heads = [ends_without_neck(np.random.default_rng(i), scene) for i in range(6)]
    assert {bottom > scene.world("C1")[2] for bottom, _ in heads} == {True, False}


@pytest.mark.slow
def test_training_windows_show_head_and_chest_and_edges() -> None:
    """Most windows show vertebrae; some show none, though there is bone in them."""
    preset = PatchPreset(spacing_mm=8.0, families=frozenset({VIEW}))
    patches = [draw_patch(seed, (14, 16, 14), preset, ()) for seed in range(10)]
    bony = [float((patch.labels > 0).float().mean()) for patch in patches]
    assert 2 <= sum(share == 0 for share in bony) <= 8
    again = draw_patch(3, (14, 16, 14), preset, ())
    assert np.array_equal(again.hu, patches[3].hu)
    assert np.array_equal(again.labels, patches[3].labels)
