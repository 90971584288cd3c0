"""The patient's probability of a fracture: from the vertebrae, from a head, or from both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from cspine_zoo.results import VertebraPrediction

_ANY_SHARE: Final = 0.4
_HIGHEST_SHARE: Final = 0.01
_HEAD_SHARE: Final = 0.6
"""Of the blend that the 1st place of RSNA 2022 handed in."""


def patient_probability(
    rule: str, vertebrae: Sequence[VertebraPrediction], of_head: float | None
) -> float | None:
    """The probability that any vertebra is fractured, by the rule of a classifier's row.

    Args:
        rule: ``"any"``: 1 - prod(1 - p) over the vertebrae's probabilities p. ``"head"``: the
            patient head's answer h. ``"blend"``: .4 (1 - prod(1 - m)) + .01 max(m) + .6 h, at most
            1, where m is the highest probability among the slices of a vertebra.
        vertebrae: those without a probability take no part.
        of_head: h, which all rules but the first need.

    Returns:
        None if no vertebra was scored.

    Raises:
        ValueError: there is no such rule, or no head's answer for it.
    """
    scored = [vertebra for vertebra in vertebrae if vertebra.probability is not None]
    if not scored:
        return None
    if rule == "any":
        return any_of([v.probability for v in scored if v.probability is not None])
    if of_head is None or rule not in ("head", "blend"):
        raise ValueError(f"the patient cannot be judged by {rule!r}, head {of_head}")
    if rule == "head":
        return of_head
    highest = [
        max(slice_.probability for slice_ in v.slices if slice_.probability is not None)
        for v in scored
    ]
    blend = _ANY_SHARE * any_of(highest) + _HIGHEST_SHARE * max(highest) + _HEAD_SHARE * of_head
    return min(blend, 1.0)


def any_of(probabilities: Sequence[float]) -> float:
    """1 - prod(1 - p): that at least one is so, taking them as independent.

    >>> any_of([0.5, 0.5])
    0.75
    """
    return 1.0 - math.prod(1.0 - p for p in probabilities)
