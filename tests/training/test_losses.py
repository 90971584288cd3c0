"""Weighted losses against figures worked out by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from cspine_zoo.training.losses import slice_loss, study_loss, vertebra_loss
from cspine_zoo.training.recipes import CHALLENGE, ClassWeights


def _logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([math.log(p / (1 - p)) for p in probabilities])


def test_a_fractured_vertebra_counts_twice() -> None:
    """(2 x -ln .8 + 1 x -ln .9 + 1 x -ln .5) / 4."""
    logits, truth = _logits(0.8, 0.1, 0.5), torch.tensor([1.0, 0.0, 0.0])
    expected = (2 * 0.223144 + 0.105361 + 0.693147) / 4
    assert float(vertebra_loss(logits, truth, CHALLENGE)) == pytest.approx(expected, abs=1e-5)
    plain = (0.223144 + 0.105361 + 0.693147) / 3
    assert float(vertebra_loss(logits, truth, ClassWeights())) == pytest.approx(plain, abs=1e-5)


def test_a_study_counts_its_patient_as_the_challenge_does() -> None:
    """Two studies of two vertebrae each: .8 and .1 with a fracture, .2 and .5 without.

    Patients: 1 - .2 x .9 = .82 and 1 - .8 x .5 = .6.
    First: (2 x -ln .8 + -ln .9 + 14 x -ln .82) / 17; second: (-ln .8 + -ln .5 + 7 x -ln .4) / 9.
    """
    logits, truth = _logits(0.8, 0.1, 0.2, 0.5), torch.tensor([1.0, 0.0, 0.0, 0.0])
    studies = torch.tensor([0, 0, 1, 1])
    first = (2 * 0.223144 + 0.105361 + 14 * 0.198451) / 17
    second = (0.223144 + 0.693147 + 7 * 0.916291) / 9
    found = study_loss(logits, truth, studies, CHALLENGE)
    assert float(found) == pytest.approx((first + second) / 2, abs=1e-5)


def test_the_study_loss_is_the_weighted_log_loss_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    p, truth = rng.uniform(0.05, 0.95, 7), np.array([0, 1, 0, 0, 0, 1, 0])
    scores = [*p, 1 - np.prod(1 - p)]
    flags = [*truth, 1]
    expected = log_loss(flags, scores, sample_weight=[*(truth + 1), 14], labels=[0, 1])
    found = study_loss(
        _logits(*p), torch.tensor(truth).float(), torch.zeros(7, dtype=torch.long), CHALLENGE
    )
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_a_patient_who_is_surely_whole_has_a_finite_loss() -> None:
    logits = torch.full((7,), -40.0, requires_grad=True)
    truth = torch.zeros(7)
    truth[0] = 1
    loss = study_loss(logits, truth, torch.zeros(7, dtype=torch.long), CHALLENGE)
    loss.backward()
    assert logits.grad is not None
    assert bool(loss.isfinite())
    assert bool(logits.grad.isfinite().all())


def test_slices_of_unknown_truth_are_out_of_the_loss() -> None:
    logits = torch.stack([_logits(0.9, 0.3), _logits(0.5, 0.5)])
    truth = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    known = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    expected = (2 * 0.105361 + 0.356675) / 3
    assert float(slice_loss(logits, truth, known, CHALLENGE)) == pytest.approx(expected, abs=1e-5)
    assert float(slice_loss(logits, truth, torch.zeros(2, 2), CHALLENGE)) == 0
