"""What a comparison says beyond its single predictions."""

import pytest

import cspine_zoo as cz
from tests.demo.neck import comparison, prediction

ROWS = (*cz.LEVELS, cz.PATIENT_OVERALL)


def test_the_mean_counts_every_classifier_alike_and_lies_between_them() -> None:
    result = comparison()
    assert result.mean("C5") == pytest.approx((0.22 + 0.84 + 0.91) / 3)
    for row in ROWS:
        values = [p for p in result.probabilities(row) if p is not None]
        mean = result.mean(row)
        assert mean is not None
        assert min(values) - 1e-12 <= mean <= max(values) + 1e-12
        turned = comparison(result.predictions[::-1])
        assert turned.mean(row) == pytest.approx(mean)
    assert comparison(result.predictions[:1]).mean("C5") == 0.22


def test_margins_turn_their_sign_where_votes_turn() -> None:
    result = comparison([prediction("a", {"C1": 0.5}, 0.4), prediction("b", {"C1": 0.2}, 0.9)])
    assert result.margins("C1") == pytest.approx((0.0, -0.3))  # at the threshold is over it
    assert result.votes("C1") == (1, 2)
    assert result.margins(cz.PATIENT_OVERALL) == pytest.approx((-0.1, 0.4))


def test_what_nobody_scored_has_neither() -> None:
    result = comparison([prediction("a", dict.fromkeys(cz.LEVELS), None)])
    for row in ROWS:
        assert result.mean(row) is None
        assert result.margins(row) == (None,)
        assert result.votes(row) == (0, 0)


def test_the_contract_of_the_json_knows_nothing_of_it() -> None:
    assert set(comparison().to_dict()) == {"schema_version", "study", "predictions"}
