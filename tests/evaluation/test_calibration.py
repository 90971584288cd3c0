"""Temperature and operating points where the right answer is known."""

import numpy as np
import pytest

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.calibration import (
    choose_threshold,
    fit_temperature,
    logits_of,
    probabilities_of,
)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, 40_000)
    labels = (rng.random(40_000) < probabilities_of(logits, temperature)).astype(np.int64)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_logits_come_back_from_calibrated_probabilities() -> None:
    logits = np.linspace(-6, 6, 13)
    assert logits_of(probabilities_of(logits, 1.7), 1.7) == pytest.approx(logits)
    assert np.isfinite(logits_of(np.array([0.0, 1.0]), 1.7)).all()


def test_the_threshold_separates_what_can_be_separated() -> None:
    whole = np.array([0.1, 0.2, 0.3])
    assert choose_threshold(np.array([0.6, 0.7]), whole) == pytest.approx(0.45)
    # One whole patient of three at 0.6: to call 0.6 would leave a specificity of 2/3.
    whole = np.array([0.1, 0.2, 0.6])
    assert choose_threshold(np.array([0.6, 0.7]), whole) == pytest.approx(0.65)


def test_nine_of_ten_whole_patients_stay_below_the_threshold() -> None:
    rng = np.random.default_rng(3)
    broken = probabilities_of(rng.normal(1, 1.0, 1000), 1.0)
    whole = probabilities_of(rng.normal(0, 1.0, 1000), 1.0)
    threshold = choose_threshold(broken, whole)
    assert 0.9 <= np.mean(whole < threshold) < 0.902
    assert np.mean(broken >= threshold) == pytest.approx(0.389, abs=0.05)  # Phi(1 - 1.2816)


def test_a_classifier_that_cannot_tell_calls_nobody_broken() -> None:
    same = np.full(10, 0.3)
    assert choose_threshold(same, same) == pytest.approx(0.65)


def test_whole_patients_at_probability_one_leave_no_operating_point() -> None:
    with pytest.raises(UsageError) as caught:
        choose_threshold(np.ones(2), np.ones(2))
    assert caught.value.code == "saturated"


def test_the_threshold_does_not_depend_on_how_many_are_fractured() -> None:
    rng = np.random.default_rng(2)
    broken, whole = rng.random(150), rng.random(150)
    assert choose_threshold(broken, whole) == choose_threshold(np.repeat(broken, 5), whole)


def test_one_class_cannot_calibrate() -> None:
    nothing, something = np.array([]), np.array([0.1, 0.2])
    for call in (
        lambda: fit_temperature(something, np.array([1, 1])),
        lambda: choose_threshold(something, nothing),
        lambda: choose_threshold(nothing, something),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.code == "one_class"
