"""What is measured: log loss, discrimination, calibration, each as a function of study weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.evaluation.bootstrap import FloatArray, Measure

BINARY_NAMES: Final = ("auc", "accuracy", "precision", "recall", "f1", "specificity")

ECE_BINS: Final = 15  # Guo et al. 2017, arXiv 1706.04599, section 5
_CLIP: Final = 1e-15  # of the competition's metric
_BLOCK: Final = 64  # resamples at once, so that weights of all vertebrae fit into memory

# The competition's weights: (negative, positive) for a vertebra and for patient_overall.
VERTEBRA_WEIGHTS: Final = (1.0, 2.0)
OVERALL_WEIGHTS: Final = (7.0, 14.0)


@dataclass(frozen=True, eq=False)
class Items:
    """Scored items, such as studies or vertebrae, and the study that each belongs to.

    Attributes:
        probabilities: (M,), within 0 to 1.
        labels: (M,), 0 or 1.
        thresholds: (M,); an item is called positive at or above its threshold.
        study: (M,), index of its study.
        n_studies: how many studies there are, scored or not.
    """

    probabilities: FloatArray
    labels: NDArray[np.int64]
    thresholds: FloatArray
    study: NDArray[np.intp]
    n_studies: int

    def subset(self, keep: NDArray[np.bool_]) -> Items:
        """The items that ``keep`` marks; studies keep their index."""
        return Items(
            self.probabilities[keep],
            self.labels[keep],
            self.thresholds[keep],
            self.study[keep],
            self.n_studies,
        )


def ratio(
    numerator: FloatArray, denominator: FloatArray, study: NDArray[np.intp], n_studies: int
) -> Measure:
    """Sum over items divided by sum over items; undefined where the divisor is 0."""
    above = np.bincount(study, weights=numerator, minlength=n_studies)
    below = np.bincount(study, weights=denominator, minlength=n_studies)

    def of_weights(weights: FloatArray) -> FloatArray:
        return _quotient(weights @ above, weights @ below)

    return Measure(int(np.rint(denominator.sum())), of_weights)


def mean(values: FloatArray, study: NDArray[np.intp], n_studies: int) -> Measure:
    """Mean over items."""
    return ratio(values, np.ones(len(values)), study, n_studies)


def challenge_log_loss(probabilities: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """Weighted multi-label log loss of each study.

    Args:
        probabilities: (N, 8), C1 to C7 and then patient_overall.
        labels: (N, 8), likewise.

    Returns:
        (N,); the competition's score is their mean. 0.5 everywhere gives log 2.

    References:
        RSNA 2022 Cervical Spine Fracture Detection, evaluation page: weights 14 and 7 for the
        patient, 2 and 1 for a vertebra, divided by the weights of the study.
    """
    scores: FloatArray = challenge_losses(probabilities, labels).sum(axis=1)
    return scores


def challenge_losses(probabilities: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """(N, 8): what each probability adds to ``challenge_log_loss`` of its study."""
    p = np.clip(probabilities, _CLIP, 1 - _CLIP)
    losses: FloatArray = -_shares(labels) * np.where(labels == 1, np.log(p), np.log1p(-p))
    return losses


def best_constant(labels: NDArray[np.int64]) -> FloatArray:
    """The eight probabilities that cost least when every study is given the same.

    They are the shares of the fractured by weight, not the prevalences. A model that does not
    beat them has learned nothing.

    Args:
        labels: (N, 8), C1 to C7 and then patient_overall.

    Returns:
        (8,).
    """
    shares = _shares(labels)
    constant: FloatArray = (shares * labels).sum(axis=0) / shares.sum(axis=0)
    return constant


def _shares(labels: NDArray[np.int64]) -> FloatArray:
    """(N, 8): what each probability weighs in its study's loss."""
    positive = np.array([VERTEBRA_WEIGHTS[1]] * 7 + [OVERALL_WEIGHTS[1]])
    negative = np.array([VERTEBRA_WEIGHTS[0]] * 7 + [OVERALL_WEIGHTS[0]])
    weights = np.where(labels == 1, positive, negative)
    shares: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return shares


def binary(items: Items) -> dict[str, Measure]:
    """The six figures of a two-class problem, at the items' own thresholds.

    ``n`` counts what the figure is a share of: all items, or those called positive (precision),
    the fractured (recall) or the whole ones (specificity).
    """
    called = items.probabilities >= items.thresholds
    fractured = items.labels == 1

    def share(numerator: NDArray[np.generic], denominator: NDArray[np.generic]) -> Measure:
        return ratio(
            numerator.astype(np.float64),
            denominator.astype(np.float64),
            items.study,
            items.n_studies,
        )

    f1 = share(2 * (called & fractured), called.astype(int) + fractured)
    return {
        "auc": auc(items),
        "accuracy": share(called == fractured, np.ones(len(called))),
        "precision": share(called & fractured, called),
        "recall": share(called & fractured, fractured),
        "f1": Measure(len(called), f1.of_weights),
        "specificity": share(~called & ~fractured, ~fractured),
    }


def auc(items: Items) -> Measure:
    """Area under the ROC curve: P(fractured above whole) + P(tie) / 2; undefined for one class."""

    def of_counts(fractured: FloatArray, whole: FloatArray) -> FloatArray:
        below = np.cumsum(whole, axis=1) - whole / 2
        pairs = fractured.sum(axis=1) * whole.sum(axis=1)
        return _quotient((fractured * below).sum(axis=1), pairs)

    return _ranked(items, of_counts)


def average_precision(items: Items) -> Measure:
    """Precision at each recall, weighted by the rise in recall; undefined without a fracture.

    Nothing is interpolated between the observed probabilities (Davis and Goadrich 2006,
    doi 10.1145/1143844.1143874: linear interpolation flatters).
    """

    def of_counts(fractured: FloatArray, whole: FloatArray) -> FloatArray:
        hits = np.cumsum(fractured[:, ::-1], axis=1)
        called = hits + np.cumsum(whole[:, ::-1], axis=1)
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        return _quotient((fractured[:, ::-1] * precision).sum(axis=1), fractured.sum(axis=1))

    return _ranked(items, of_counts)


def _ranked(items: Items, of_counts: Callable[[FloatArray, FloatArray], FloatArray]) -> Measure:
    """A statistic of how many fractured and whole items have each distinct probability.

    Args:
        items: what is ranked.
        of_counts: maps weighted counts of fractured and of whole items, each (R, distinct
            probabilities from the lowest up), to values (R,).
    """
    order = np.argsort(items.probabilities, kind="stable")
    ordered = items.probabilities[order]
    study, fractured = items.study[order], items.labels[order] == 1
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order

    def block(weights: FloatArray) -> FloatArray:
        of_items = weights[:, study]
        return of_counts(
            np.add.reduceat(of_items * fractured, starts, axis=1),
            np.add.reduceat(of_items * ~fractured, starts, axis=1),
        )

    def of_weights(weights: FloatArray) -> FloatArray:
        blocks = [block(weights[at : at + _BLOCK]) for at in range(0, len(weights), _BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros(0)

    return Measure(len(ordered), of_weights)


def _quotient(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    quotient: FloatArray = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def ece_bins(probabilities: FloatArray) -> NDArray[np.intp]:
    """The bin of equal width, 0 to ``ECE_BINS - 1``, of each probability."""
    return np.minimum((probabilities * ECE_BINS).astype(np.intp), ECE_BINS - 1)


def calibration_error(items: Items) -> Measure:
    """Expected calibration error in equal-width bins: mean |fractured share - mean probability|.

    References:
        Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602, equation 1 of Guo et al. 2017.
    """
    bins = ece_bins(items.probabilities)
    excess = np.zeros((items.n_studies, ECE_BINS))
    np.add.at(excess, (items.study, bins), items.probabilities - items.labels)
    counts = np.bincount(items.study, minlength=items.n_studies).astype(np.float64)

    def of_weights(weights: FloatArray) -> FloatArray:
        return _quotient(np.abs(weights @ excess).sum(axis=1), weights @ counts)

    return Measure(len(bins), of_weights)
