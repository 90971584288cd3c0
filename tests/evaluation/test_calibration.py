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
    p = np.array([0.1, 0.2, 0.3, 0.6, 0.7])
    assert choose_threshold(p, np.array([0, 0, 0, 1, 1])) == pytest.approx(0.45)
    # One whole item of three at 0.6: to call 0.6 would leave a specificity of 2/3.
    p = np.array([0.1, 0.2, 0.6, 0.6, 0.7])
    assert choose_threshold(p, np.array([0, 0, 0, 1, 1])) == pytest.approx(0.65)


def test_nine_of_ten_whole_items_stay_below_the_threshold() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 2000)
    p = probabilities_of(rng.normal(labels, 1.0), 1.0)
    threshold = choose_threshold(p, labels)
    called = p >= threshold
    assert 0.9 <= 1 - called[labels == 0].mean() < 0.902
    assert called[labels == 1].mean() == pytest.approx(0.389, abs=0.05)  # Phi(1 - 1.2816)


def test_a_classifier_that_cannot_tell_calls_nobody_broken() -> None:
    p, labels = np.full(20, 0.3), np.arange(20) % 2
    assert choose_threshold(p, labels) == pytest.approx(0.65)


def test_whole_items_at_probability_one_leave_no_operating_point() -> None:
    with pytest.raises(UsageError) as caught:
        choose_threshold(np.ones(4), np.array([0, 1, 0, 1]))
    assert caught.value.code == "saturated"


def test_the_threshold_does_not_depend_on_how_many_are_fractured() -> None:
    rng = np.random.default_rng(2)
    p, labels = rng.random(300), rng.integers(0, 2, 300)
    enriched = np.repeat(np.arange(300), np.where(labels == 1, 5, 1))
    assert choose_threshold(p, labels) == choose_threshold(p[enriched], labels[enriched])


def test_one_class_cannot_calibrate() -> None:
    for fit in (fit_temperature, choose_threshold):
        with pytest.raises(UsageError) as caught:
            fit(np.array([0.1, 0.2]), np.array([1, 1]))
        assert caught.value.code == "one_class"
