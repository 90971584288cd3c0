"""Figures against hand-made tables and scikit-learn."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from cspine_zoo.evaluation.bootstrap import Resamples
from cspine_zoo.evaluation.metrics import (
    Items,
    auc,
    average_precision,
    best_constant,
    binary,
    calibration_error,
    challenge_log_loss,
    mean,
)

# Facts of RSNA's public training table: how many studies have 0..6 fractured levels, and how often
# each of C1-C7 is fractured (the published percentages of 2,019 studies).
STUDIES_BY_COUNT = (1058, 623, 239, 64, 26, 7, 2)
FRACTURED = (146, 285, 73, 108, 162, 277, 393)

BEST = np.array([0.1027, 0.1930, 0.0512, 0.0752, 0.1105, 0.1842, 0.2559, 0.5309])
"""The best constant on that table, worked out from the table itself."""


def rsna_table() -> NDArray[np.int64]:
    """A table with RSNA's frequencies of every level and of every number of levels."""
    assert sum(FRACTURED) == sum(k * n for k, n in enumerate(STUDIES_BY_COUNT))
    left = np.array(FRACTURED)
    table = np.zeros((sum(STUDIES_BY_COUNT), 8), np.int64)
    counts = np.repeat(np.arange(7), STUDIES_BY_COUNT)[::-1]
    for row, count in zip(table, counts, strict=True):
        levels = np.argsort(-left, kind="stable")[:count]
        row[levels] = 1
        left[levels] -= 1
    assert not left.any()
    table[:, 7] = table[:, :7].max(axis=1)
    return table


def items(n: int = 60, seed: int = 0, ties: bool = True) -> Items:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    probabilities = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    if ties:
        probabilities = np.round(probabilities, 1)
    return Items(probabilities, labels, np.full(n, 0.5), np.arange(n) // 2, n // 2)


def test_constants_score_as_published_for_the_rsna_table() -> None:
    table = rsna_table()
    prevalence = table.mean(axis=0)

    def score(constant: NDArray[np.float64]) -> float:
        return float(challenge_log_loss(np.tile(constant, (len(table), 1)), table).mean())

    assert score(np.full(8, 0.5)) == pytest.approx(np.log(2), abs=1e-12)
    assert score(prevalence) == pytest.approx(0.5638, abs=1e-3)
    assert score(BEST) == pytest.approx(0.5573, abs=1e-3)
    for nudge in (-0.02, 0.02):
        assert score(np.clip(BEST + nudge, 0.01, 1)) > score(BEST)


def test_the_best_constant_is_the_published_one() -> None:
    table = rsna_table()
    found = best_constant(table)

    def score(constant: NDArray[np.float64]) -> float:
        return float(challenge_log_loss(np.tile(constant, (len(table), 1)), table).mean())

    # The table has RSNA's frequencies, but not its very combinations of levels.
    assert found == pytest.approx(BEST, abs=5e-3)
    assert score(found) == pytest.approx(0.5573, abs=1e-3)
    for column in range(8):
        for nudge in (-1e-3, 1e-3):
            assert score(found) < score(found + nudge * (np.arange(8) == column))


def test_the_patient_carries_the_published_share_of_the_weight() -> None:
    table = rsna_table()
    overall = np.where(table[:, 7] == 1, 14, 7)
    vertebrae = 7 + table[:, :7].sum(axis=1)
    assert (overall / (overall + vertebrae)).mean() == pytest.approx(0.559, abs=1e-3)


def test_log_loss_of_one_study_by_hand() -> None:
    labels = np.array([[1, 0, 0, 0, 0, 0, 0, 1], [0] * 8])
    p = np.array([[0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9], [0.2] * 8])
    fractured = (2 * -np.log(0.8) + 6 * -np.log(0.9) + 14 * -np.log(0.9)) / 22
    whole = -np.log(0.8)
    assert challenge_log_loss(p, labels) == pytest.approx([fractured, whole])
    certain = challenge_log_loss(np.array([[0.0] * 8]), np.array([[1] * 8]))
    assert certain == pytest.approx(-np.log(1e-15))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [True, False])
def test_the_six_figures_agree_with_scikit_learn_for_any_weights(seed: int, ties: bool) -> None:
    data = items(seed=seed, ties=ties)
    drawn = Resamples.draw([[i] for i in range(data.n_studies)], n_resamples=5)
    for weights in np.concatenate([drawn.once, drawn.drawn]):
        called = data.probabilities >= data.thresholds
        sample_weight = weights[data.study]
        expected = {
            "auc": sklearn_metrics.roc_auc_score(
                data.labels, data.probabilities, sample_weight=sample_weight
            ),
            "accuracy": sklearn_metrics.accuracy_score(
                data.labels, called, sample_weight=sample_weight
            ),
            "precision": sklearn_metrics.precision_score(
                data.labels, called, sample_weight=sample_weight
            ),
            "recall": sklearn_metrics.recall_score(
                data.labels, called, sample_weight=sample_weight
            ),
            "f1": sklearn_metrics.f1_score(data.labels, called, sample_weight=sample_weight),
            "specificity": sklearn_metrics.recall_score(
                data.labels, called, sample_weight=sample_weight, pos_label=0
            ),
        }
        for name, measure in binary(data).items():
            assert measure.of_weights(weights[None])[0] == pytest.approx(expected[name]), name


@pytest.mark.parametrize("ties", [True, False])
def test_average_precision_agrees_with_scikit_learn_for_any_weights(ties: bool) -> None:
    data = items(seed=7, ties=ties)
    drawn = Resamples.draw([[i] for i in range(data.n_studies)], n_resamples=20)
    found = average_precision(data).of_weights(drawn.drawn)
    expected = [
        sklearn_metrics.average_precision_score(
            data.labels, data.probabilities, sample_weight=weights[data.study]
        )
        for weights in drawn.drawn
    ]
    assert found == pytest.approx(expected)


def test_log_loss_agrees_with_scikit_learn_under_the_weights_of_the_challenge() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (20, 8))
    p = np.round(rng.random((20, 8)), 2).clip(0.01, 0.99)
    weights = np.where(labels == 1, [2] * 7 + [14], [1] * 7 + [7])
    expected = [
        sklearn_metrics.log_loss(label, row, sample_weight=weight, labels=[0, 1])
        for label, row, weight in zip(labels, p, weights, strict=True)
    ]
    assert challenge_log_loss(p, labels) == pytest.approx(expected)


def test_what_each_figure_counts() -> None:
    p = np.array([0.9, 0.6, 0.4, 0.2, 0.5])
    labels = np.array([1, 0, 1, 0, 0])
    figures = binary(Items(p, labels, np.full(5, 0.5), np.arange(5), 5))
    counts = {name: measure.n for name, measure in figures.items()}
    assert counts == {
        "auc": 5,
        "accuracy": 5,
        "precision": 3,
        "recall": 2,
        "f1": 5,
        "specificity": 3,
    }
    once = np.ones((1, 5))
    values = {name: float(measure.of_weights(once)[0]) for name, measure in figures.items()}
    assert values == pytest.approx(
        {
            "auc": 4 / 6,
            "accuracy": 2 / 5,
            "precision": 1 / 3,
            "recall": 1 / 2,
            "f1": 2 / 5,
            "specificity": 1 / 3,
        }
    )


def test_undefined_is_null_and_never_a_warning() -> None:
    data = Items(np.full(4, 0.2), np.zeros(4, np.int64), np.full(4, 0.5), np.arange(4), 4)
    resamples = Resamples.draw([[i] for i in range(4)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = {name: resamples.figure(measure) for name, measure in binary(data).items()}
    assert figures["auc"] == {"value": None, "ci95": None, "n": 4}
    assert figures["recall"] == figures["precision"] == {"value": None, "ci95": None, "n": 0}
    assert figures["specificity"]["value"] == 1
    nothing = data.subset(np.zeros(4, bool))
    assert resamples.figure(auc(nothing))["value"] is None
    assert resamples.figure(average_precision(data))["value"] is None
    assert resamples.figure(average_precision(nothing))["value"] is None
    assert resamples.figure(calibration_error(nothing))["value"] is None


def test_calibration_error_by_hand() -> None:
    # Bins of 1/15: 0.01 and 0.02 share the first, 0.99 is in the last.
    p = np.array([0.01, 0.02, 0.99])
    labels = np.array([0, 1, 1])
    data = Items(p, labels, np.full(3, 0.5), np.arange(3), 3)
    expected = (abs(0.03 - 1) + abs(0.99 - 1)) / 3
    assert calibration_error(data).of_weights(np.ones((1, 3)))[0] == pytest.approx(expected)
    sure = Items(np.array([1.0, 0.0]), np.array([1, 0]), np.full(2, 0.5), np.arange(2), 2)
    assert calibration_error(sure).of_weights(np.ones((1, 2)))[0] == 0


def test_the_bootstrap_repeats_itself_and_covers_the_value() -> None:
    data = items(n=200, seed=4)
    groups = [[i] for i in range(data.n_studies)]
    first, again = (Resamples.draw(groups).figure(auc(data)) for _ in range(2))
    assert first == again
    low, high = first["ci95"]
    assert low < first["value"] < high
    assert Resamples.draw(groups, seed=1).figure(auc(data))["ci95"] != first["ci95"]


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    study = np.arange(400)
    figure = Resamples.draw([[i] for i in range(400)]).figure(mean(values, study, 400))
    half = 1.96 * values.std() / 20
    assert figure["ci95"] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.03)


def test_twins_are_drawn_together() -> None:
    groups = [[0, 3], [1], [2, 4, 5]]
    drawn = Resamples.draw(groups, n_resamples=50).drawn
    assert np.array_equal(drawn[:, 0], drawn[:, 3])
    assert np.array_equal(drawn[:, 2], drawn[:, 4])
    assert np.array_equal(drawn[:, 4], drawn[:, 5])
    assert (drawn[:, [0, 1, 2]].sum(axis=1) == 3).all()
    assert Resamples.draw([[0, 1]]).figure(mean(np.ones(2), np.arange(2), 2)) == {
        "value": 1.0,
        "ci95": None,
        "n": 2,
    }
