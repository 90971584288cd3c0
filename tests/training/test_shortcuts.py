"""Crops in which there is no fracture left to see."""

import numpy as np

from cspine_zoo.training.shortcuts import mask_only, placebo
from tests.training.made_up import CHANNELS, made_up_records


def test_with_masks_alone_all_bone_looks_alike() -> None:
    records = made_up_records(2)
    blind = mask_only(records, CHANNELS)
    for before, after in zip(records, blind, strict=True):
        assert np.array_equal(after.images[:, 3], before.images[:, 3])
        assert np.unique(after.images[:, :3]).tolist() == [128]
        assert after.label == before.label


def test_a_placebo_is_the_twin_where_the_fracture_was_and_itself_elsewhere() -> None:
    """The fracture covers cells 8-15 x 8-11 of 32, pixels 6-11 x 6-8 of 24, on slices 1 and 2."""
    broken, whole = made_up_records(1)
    healed, untouched = placebo([broken, whole], CHANNELS)
    assert np.array_equal(untouched.images, whole.images)
    assert healed.label == 1
    inside = (slice(1, 3), slice(0, 3), slice(6, 12), slice(6, 9))
    assert np.array_equal(healed.images[inside], whole.images[inside])
    assert np.array_equal(healed.images[:, 3], broken.images[:, 3])
    for far in ((slice(None), slice(0, 3), slice(15, 24)), (slice(None), slice(0, 3), slice(0, 4))):
        assert np.array_equal(healed.images[far], broken.images[far])


def test_without_its_twin_a_vertebra_has_no_placebo() -> None:
    records = made_up_records(2)
    assert len(placebo(records[:3], CHANNELS)) == 2
