"""The held-out set is frozen: whoever changes it makes another set, and must say so."""

import hashlib
from dataclasses import asdict, replace

import numpy as np

from cspine_zoo.synthetic.families import ALL, SECOND
from cspine_zoo.synthetic.study import draw_twins
from cspine_zoo.synthetic.synthesize import PRESETS

FIELDS = "1a3c8ae4bd04cde9"
STUDY_HU = [77.526, -99.137, -281.174, -313.064, -263.741, -235.55]
SEED = 31


def test_the_challenge_is_the_set_that_was_frozen() -> None:
    """Its fields and families to the letter, a tiny study of it within one voxel's rounding."""
    preset = PRESETS["challenge"]
    fields = {**asdict(preset), "families": sorted(preset.families)}
    assert hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:16] == FIELDS
    broken, _ = draw_twins(SEED, replace(preset, pixel_mm=(6.0, 6.0), slice_mm=(6.0, 6.0)))
    thirds = [part.mean() for part in np.array_split(broken.hu, 6, axis=2)]
    np.testing.assert_allclose(thirds, STUDY_HU, atol=0.2)


def test_what_calibrates_is_drawn_like_what_judges_and_training_sees_more() -> None:
    assert PRESETS["tune"].families == PRESETS["challenge"].families == SECOND
    assert PRESETS["train"].families == ALL > SECOND
