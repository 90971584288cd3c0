"""The patient's probability, worked out by hand."""

import pytest

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.inference.patient import patient_probability
from cspine_zoo.results import SliceScore, VertebraPrediction


def _vertebrae(**probabilities: float) -> list[VertebraPrediction]:
    """Each level with slices at half and at twice its probability; the others not found."""
    vertebrae = []
    for level in LEVELS:
        p = probabilities.get(level)
        slices = () if p is None else (SliceScore(0.0, 0.5, p / 2), SliceScore(1.0, 0.5, 2 * p))
        vertebrae.append(VertebraPrediction(level, p is not None, 1.0, None, p, 0.5, slices))
    return vertebrae


def test_any_is_the_complement_of_none() -> None:
    """1 - .9 x .5 = .55; a head that is there is not asked."""
    assert patient_probability("any", _vertebrae(C2=0.1, C5=0.5), None) == pytest.approx(0.55)
    assert patient_probability("any", _vertebrae(C2=0.1, C5=0.5), 0.9) == pytest.approx(0.55)


def test_head_is_the_heads_answer() -> None:
    assert patient_probability("head", _vertebrae(C2=0.1, C5=0.5), 0.9) == 0.9


def test_the_blend_takes_the_highest_slice_of_each_level() -> None:
    """Slices reach .2 and .4: .4 x (1 - .8 x .6) + .01 x .4 + .6 x .7 = .208 + .004 + .42."""
    blend = patient_probability("blend", _vertebrae(C1=0.1, C7=0.2), 0.7)
    assert blend == pytest.approx(0.632)
    assert (
        patient_probability("blend", _vertebrae(C1=0.5), 1.0) == 1.0
    )  # of shares that sum to 1.01


@pytest.mark.parametrize("rule", ["any", "head", "blend"])
def test_without_a_vertebra_nothing_is_said_of_the_patient(rule: str) -> None:
    assert patient_probability(rule, _vertebrae(), 0.5) is None


@pytest.mark.parametrize(("rule", "head"), [("mean", 0.5), ("head", None), ("blend", None)])
def test_an_impossible_rule_is_refused(rule: str, head: float | None) -> None:
    with pytest.raises(ValueError, match=rule):
        patient_probability(rule, _vertebrae(C3=0.5), head)
