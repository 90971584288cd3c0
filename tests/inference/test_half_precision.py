"""What bfloat16 costs, with the weights that come with the package."""

import numpy as np
import pytest

import cspine_zoo as cz

CLASSIFIERS = [row.name for row in cz.list_models("cls-*") if row.available == "bundled"]


@pytest.fixture(scope="module")
def both() -> tuple[cz.Comparison, cz.Comparison]:
    ct = cz.read_ct(cz.sample_studies()[0].path)
    models = [cz.load_model(name, "cpu") for name in CLASSIFIERS]
    exact, rough = (
        cz.compare(ct, models, localizer="loc-unet-lite0", device="cpu", precision=p)
        for p in ("float32", "bfloat16")
    )
    return exact, rough


def test_no_probability_moves_by_a_hundredth(both: tuple[cz.Comparison, cz.Comparison]) -> None:
    for exact, rough in zip(both[0].predictions, both[1].predictions, strict=True):
        assert (exact.precision, rough.precision) == ("float32", "bfloat16")
        one, other = (
            np.array([p.patient_overall, *(v.probability for v in p.vertebrae)], dtype=float)
            for p in (exact, rough)
        )
        assert np.isfinite(one).all()
        assert not np.array_equal(one, other), exact.model  # it was another arithmetic
        np.testing.assert_allclose(other, one, atol=0.01, err_msg=exact.model)


def test_masks_and_heat_do_not_depend_on_it(both: tuple[cz.Comparison, cz.Comparison]) -> None:
    exact, rough = both
    assert exact.label_map is not None
    assert rough.label_map is not None
    np.testing.assert_array_equal(exact.label_map.labels, rough.label_map.labels)
    assert len(exact.heat) == 7
    for one, other in zip(exact.heat, rough.heat, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_segmenting_alone_is_exact_unless_asked_otherwise() -> None:
    """Of the middle of a neck: without bfloat16 in hardware a whole one took two minutes."""
    ct = cz.read_ct(cz.sample_studies()[0].path)
    start, shape = (67, 67, 40), (80, 80, 50)
    box = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
    part = cz.CTVolume(ct.voxels[box], ct.geometry.cropped(start, shape))
    exact = cz.segment(part, device="cpu")
    assert exact.precision == "float32"
    assert {4, 5} <= set(np.unique(exact.label_map.labels))
    assert cz.segment(part, device="cpu", precision="bfloat16").precision == "bfloat16"
    with pytest.raises(cz.UsageError):
        cz.segment(part, device="cpu", precision="half")
