"""Figures with confidence intervals: every statistic is a function of study weights.

A resample of studies is a row of whole-number weights, so that one matrix of weights gives the
value (all ones) and every resample of every figure without a loop over resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

N_RESAMPLES: Final = 1000
SEED: Final = 20220728  # the competition's first day; any fixed number serves
_LEAST_DEFINED: Final = 0.5  # share of resamples that must define the statistic

Figure = dict[str, Any]
"""``{"value": float | None, "ci95": [low, high] | None, "n": int}``"""


@dataclass(frozen=True)
class Measure:
    """A statistic and the number of items behind it.

    Attributes:
        n: items that its denominator counts.
        of_weights: maps weights (R, n_studies) to values (R,); NaN where undefined.
    """

    n: int
    of_weights: Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Study weights of the sample itself and of its bootstrap resamples."""

    once: FloatArray
    drawn: FloatArray

    @classmethod
    def draw(
        cls, groups: Sequence[Sequence[int]], seed: int = SEED, n_resamples: int = N_RESAMPLES
    ) -> Resamples:
        """Draw groups of studies with replacement; the studies of a group come and go together.

        Args:
            groups: study indices that belong together, each index once.
            seed: of the draw.
            n_resamples: how many resamples to draw.
        """
        n_studies = sum(len(group) for group in groups)
        group_of = np.zeros(n_studies, dtype=np.intp)
        for g, members in enumerate(groups):
            group_of[list(members)] = g
        generator = np.random.default_rng(seed)
        shares = np.full(len(groups), 1 / max(len(groups), 1))
        if len(groups) < 2:  # nothing varies: no interval
            return cls(np.ones((1, n_studies)), np.zeros((0, n_studies)))
        counts = generator.multinomial(len(groups), shares, size=n_resamples)
        return cls(np.ones((1, n_studies)), counts[:, group_of].astype(np.float64))

    def figure(self, measure: Measure) -> Figure:
        """Value and 95 % percentile interval; both null where the statistic is undefined."""
        return self._figure(measure)[0]

    def difference(self, measure: Measure) -> Figure:
        """The figure of a difference that is 0 without an effect, with its two-sided ``p``.

        p is twice the share of resamples on the far side of 0, the sample itself counted once: the
        level at which the percentile interval just touches 0. Null where there is no interval.

        References:
            Davison and Hinkley 1997, Bootstrap Methods and their Application, chapter 4, for
            counting the sample itself.
        """
        figure, defined = self._figure(measure)
        if figure["ci95"] is None:
            return {**figure, "p": None}
        beyond = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
        return {**figure, "p": min(1.0, 2 * (beyond + 1) / (len(defined) + 1))}

    def _figure(self, measure: Measure) -> tuple[Figure, FloatArray]:
        """The figure, and its values in the resamples that define it."""
        value = float(measure.of_weights(self.once)[0]) if measure.n else float("nan")
        if not np.isfinite(value):
            return {"value": None, "ci95": None, "n": measure.n}, np.zeros(0)
        values = measure.of_weights(self.drawn)
        defined = values[np.isfinite(values)]
        interval = None
        if len(values) and len(defined) >= _LEAST_DEFINED * len(values):
            low, high = np.percentile(defined, [2.5, 97.5])
            interval = [float(low), float(high)]
        return {"value": value, "ci95": interval, "n": measure.n}, defined


def constant(value: float | None, n: int) -> Figure:
    """A figure that describes the data and is not estimated from it."""
    return {"value": value, "ci95": None, "n": n}
