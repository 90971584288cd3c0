"""Curves, bins and counts against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from cspine_zoo.evaluation.bootstrap import Resamples
from cspine_zoo.evaluation.curves import confusion, precision_recall, reliability, roc
from cspine_zoo.evaluation.metrics import Items, auc, average_precision, calibration_error


def items(seed: int) -> Items:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 80)
    probabilities = np.round(np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 1 + seed)
    return Items(probabilities, labels, np.full(80, 0.5), np.arange(80) // 2, 40)


ONCE = np.ones((1, 40))


@pytest.mark.parametrize("seed", range(3))
def test_curves_agree_with_scikit_learn(seed: int) -> None:
    data = items(seed)
    found = roc(data)
    assert found is not None
    x, y, thresholds = sklearn_metrics.roc_curve(
        data.labels, data.probabilities, drop_intermediate=False
    )
    for own, expected in ((found.x, x), (found.y, y), (found.thresholds, thresholds)):
        assert own == pytest.approx(expected)
    found = precision_recall(data)
    assert found is not None
    precision, recall, _ = sklearn_metrics.precision_recall_curve(data.labels, data.probabilities)
    assert found.x == pytest.approx(recall[::-1])
    assert found.y == pytest.approx(precision[::-1])


def test_the_areas_under_the_curves_are_the_figures() -> None:
    data = items(1)
    curve, steps = roc(data), precision_recall(data)
    assert curve is not None
    assert steps is not None
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(auc(data).of_weights(ONCE)[0])
    area = np.sum(np.diff(steps.x) * steps.y[1:])
    assert area == pytest.approx(average_precision(data).of_weights(ONCE)[0])


def test_one_class_or_nothing_has_no_curve() -> None:
    data = items(0)
    whole, fractured = data.subset(data.labels == 0), data.subset(data.labels == 1)
    nothing = data.subset(np.zeros(80, bool))
    assert roc(whole) is roc(fractured) is roc(nothing) is None
    assert precision_recall(whole) is precision_recall(nothing) is None
    assert precision_recall(fractured) is not None
    assert reliability(nothing, Resamples.draw([[i] for i in range(40)])) == ()


def test_counts_agree_with_scikit_learn() -> None:
    data = items(2)
    matrix = sklearn_metrics.confusion_matrix(data.labels, data.probabilities >= data.thresholds)
    found = confusion(data)
    assert [[found.rejected, found.false_alarms], [found.missed, found.hits]] == matrix.tolist()
    assert (found.whole, found.fractured) == tuple(np.bincount(data.labels))


def test_the_gaps_of_the_bins_add_up_to_the_calibration_error() -> None:
    data = items(2)
    bins = reliability(data, Resamples.draw([[i] for i in range(40)], n_resamples=50))
    assert sum(own.fractured["n"] for own in bins) == 80
    gaps = [own.fractured["n"] * abs(own.fractured["value"] - own.probability) / 80 for own in bins]
    assert sum(gaps) == pytest.approx(calibration_error(data).of_weights(ONCE)[0])
    for own in bins:
        assert own.low <= own.probability <= own.high
