"""The first generation of scenes stays what the bundled weights have seen."""

import hashlib

import numpy as np
import pytest

from cspine_zoo.synthetic.families import FIRST
from cspine_zoo.synthetic.patches import PatchPreset, draw_patch
from cspine_zoo.synthetic.study import StudyPreset, draw_twins
from cspine_zoo.synthetic.synthesize import PRESETS

SEED = 9  # no block mean of its volumes lies near a step of the hash


def coarse_hash(*volumes: np.ndarray) -> str:
    """Hash of the means of 4 x 4 x 4 blocks, in steps of 8.

    Another processor may add in another order and tip a voxel from one whole HU to the next; no
    such tip reaches the next step here, any change of the scene does.
    """
    digest = hashlib.sha256()
    for volume in volumes:
        axes = [np.array_split(np.arange(n), 4) for n in volume.shape]
        means = [
            volume[np.ix_(i, j, k)].mean(dtype=np.float64)
            for i in axes[0]
            for j in axes[1]
            for k in axes[2]
        ]
        digest.update(np.floor(np.array(means) / 8.0).astype("<i4").tobytes())
    return digest.hexdigest()[:16]


def test_the_first_generation_of_studies_is_what_it_was() -> None:
    assert StudyPreset().families == PRESETS["tiny"].families == FIRST
    broken, whole = draw_twins(SEED, PRESETS["tiny"])
    assert coarse_hash(broken.hu, whole.hu) == "2ee3fa809c047ff6"
    assert [int(study.labels.sum()) for study in (broken, whole)] == pytest.approx(
        [8897, 8891], abs=16
    )
    assert int(broken.fractures.sum()) == pytest.approx(102, abs=6)


def test_the_first_generation_of_patches_is_what_it_was() -> None:
    assert PatchPreset().families == FIRST
    patch = draw_patch(SEED, (24, 24, 24), PatchPreset(spacing_mm=5.0), ())
    assert coarse_hash(patch.hu.numpy()) == "fb886863b66ca0fd"
    assert int(patch.labels.sum()) == pytest.approx(2978, abs=16)
