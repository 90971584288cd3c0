"""Paired differences where the answer is known."""

import numpy as np
import pytest
from scipy import stats

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.bootstrap import Resamples
from cspine_zoo.evaluation.metrics import challenge_log_loss, mean
from cspine_zoo.evaluation.paired import COMPARED, compare_models, paired_differences
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.evaluation.scores import Scores
from tests.evaluation.made_up import ROWS, good, record

N = 120


def scores(skill: float, seed: int, labels_seed: int = 0) -> Scores:
    """Probabilities that know the truth as well as ``skill`` says; what is hard is hard for all."""
    truth, own = np.random.default_rng(labels_seed), np.random.default_rng(seed)
    labels = (truth.random((N, 8)) < 0.25).astype(np.int64)
    labels[:, 7] = labels[:, :7].max(axis=1)
    shared = truth.normal(0, 1, (N, 8))
    logits = skill * (2 * labels - 1) + shared + own.normal(0, 0.3, (N, 8))
    p = 1 / (1 + np.exp(-logits))
    return Scores(p, labels, np.full(8, 0.5), np.zeros((N, 8), bool))


def resamples() -> Resamples:
    return Resamples.draw([[i] for i in range(N)], n_resamples=400)


def test_the_p_of_a_mean_is_the_textbook_one() -> None:
    for seed, shift in ((0, 0.0), (1, 0.15), (2, 0.3)):
        difference = np.random.default_rng(seed).normal(shift, 1, N)
        measure = mean(difference, np.arange(N), N)
        expected = stats.ttest_1samp(difference, 0).pvalue
        many = Resamples.draw([[i] for i in range(N)], n_resamples=4000)
        assert many.difference(measure)["p"] == pytest.approx(expected, abs=0.03)


def test_a_model_does_not_differ_from_itself() -> None:
    own = scores(0.5, 1)
    for figure in paired_differences(own, own, resamples()).values():
        assert (figure["value"], figure["ci95"], figure["p"]) == (0, [0, 0], 1)


def test_the_better_model_is_found_and_order_turns_the_sign() -> None:
    better, worse = scores(1.0, 1), scores(0.5, 2)
    forth = paired_differences(better, worse, resamples())
    back = paired_differences(worse, better, resamples())
    assert list(forth) == list(COMPARED)
    assert forth["log_loss"]["value"] < 0 < forth["vertebra_auc"]["value"]
    assert forth["vertebra_auc"]["n"] == 7 * N
    for name in COMPARED:
        assert forth[name]["p"] == back[name]["p"] < 0.05
        assert back[name]["value"] == pytest.approx(-forth[name]["value"])
        low, high = forth[name]["ci95"]
        assert back[name]["ci95"] == pytest.approx([-high, -low])
        assert not low <= 0 <= high


def test_chance_makes_no_difference() -> None:
    for figure in paired_differences(scores(0.5, 1), scores(0.5, 2), resamples()).values():
        assert figure["p"] > 0.05
        assert figure["ci95"][0] < 0 < figure["ci95"][1]


def test_pairing_cancels_what_is_hard_for_both() -> None:
    first, second, drawn = scores(0.5, 1), scores(0.5, 2), resamples()
    paired = paired_differences(first, second, drawn)["log_loss"]["ci95"]
    alone = [
        drawn.figure(mean(challenge_log_loss(s.probabilities, s.labels), np.arange(N), N))["ci95"]
        for s in (first, second)
    ]
    assert paired[1] - paired[0] < 0.5 * min(high - low for low, high in alone)


def test_models_on_other_studies_cannot_be_compared() -> None:
    with pytest.raises(UsageError) as caught:
        paired_differences(scores(0.5, 1), scores(0.5, 1, labels_seed=5), resamples())
    assert caught.value.code == "not_paired"


def test_differences_are_those_of_the_report() -> None:
    models = {
        name: ModelRecords(records, 0.5, 0.3)
        for name, records in (
            ("a", good()),
            ("b", tuple(record(row.uid, 0.5, C5=0.3) for row in ROWS)),
            ("c", tuple(reversed(good()))),
        )
    }
    known = report(ROWS, models)["models"]
    pairs = compare_models(ROWS, models)
    assert [(p["first"], p["second"]) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in pairs:
        first, second = known[pair["first"]], known[pair["second"]]
        for name, path in (("patient_auc", "patient"), ("vertebra_auc", "vertebra")):
            gap = first[path]["auc"]["value"] - second[path]["auc"]["value"]
            assert pair[name]["value"] == pytest.approx(gap)
        gap = first["log_loss"]["value"] - second["log_loss"]["value"]
        assert pair["log_loss"]["value"] == pytest.approx(gap)
