"""Classifiers that read whole spines, on studies in which a vertebra is missing."""

from __future__ import annotations

import math

import pytest

from cspine_zoo import LEVELS, compare
from cspine_zoo.results import ModelPrediction
from tests.inference.phantoms import classifier, ct_of, grid, paint, painted_segmenter, spine

SIX = [block for block in spine() if block.label != 4]


@pytest.fixture(scope="module")
def predictions() -> dict[str, ModelPrediction]:
    geometry = grid()
    ct = ct_of(paint(SIX, geometry), geometry)
    rules = ("any", "head", "blend")
    models = [classifier(f"cls-{rule}", patient=rule) for rule in rules]
    segmenter = painted_segmenter(ct, SIX)
    comparison = compare(ct, models, segmenter=segmenter, precision="float32")
    return dict(zip(rules, comparison.predictions, strict=True))


@pytest.mark.parametrize("rule", ["any", "head", "blend"])
def test_a_level_that_is_not_found_has_no_probability(
    predictions: dict[str, ModelPrediction], rule: str
) -> None:
    vertebrae = predictions[rule].vertebrae
    assert [v.level for v in vertebrae if v.probability is None] == ["C4"]
    assert [v.level for v in vertebrae] == list(LEVELS)
    for vertebra in vertebrae:
        if vertebra.found:
            weights = [s.weight for s in vertebra.slices if s.weight is not None]
            assert sum(weights) == pytest.approx(1, abs=0.01)
            assert len(weights) == 4


def test_each_rule_gives_the_patient_its_own_way(predictions: dict[str, ModelPrediction]) -> None:
    """Head and blend are networks alike: from the one's answer follows the other's."""
    any_level = [v.probability for v in predictions["any"].vertebrae if v.probability is not None]
    whole = math.prod(1 - p for p in any_level)
    assert predictions["any"].patient_overall == pytest.approx(1 - whole, abs=1e-6)
    head, blend = predictions["head"], predictions["blend"]
    assert [v.probability for v in head.vertebrae] == [v.probability for v in blend.vertebrae]
    highest = [max(s.probability or 0.0 for s in v.slices) for v in blend.vertebrae if v.found]
    assert head.patient_overall is not None
    expected = (
        0.4 * (1 - math.prod(1 - p for p in highest))
        + 0.01 * max(highest)
        + 0.6 * head.patient_overall
    )
    assert blend.patient_overall == pytest.approx(min(expected, 1.0), abs=1e-6)
