"""The result in sentences."""

from collections.abc import Mapping, Sequence
from typing import Final

import cspine_zoo as cz

_NUMBERS: Final = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MOST_LEVELS: Final = 2
"""Levels told one by one in the headline; the picture shows the rest."""


def headline(comparison: cz.Comparison) -> str:
    """What the variants say together, most agreed level first."""
    over = [level for level in cz.LEVELS if comparison.votes(level)[0]]
    if not any(comparison.votes(level)[1] for level in cz.LEVELS):
        return "No cervical vertebra was scored."
    if not over:
        level = max(cz.LEVELS, key=lambda name: _highest(comparison, name))
        numbers = _numbers(comparison, level)
        return f"No level is over a threshold. Highest is {level}: {numbers}."
    over.sort(key=lambda level: (-comparison.votes(level)[0], -_highest(comparison, level)))
    told = [
        f"{level} {_state(comparison, level)}: {_numbers(comparison, level)}; "
        f"{_vote(comparison, level)}"
        for level in over[:_MOST_LEVELS]
    ]
    rest = over[_MOST_LEVELS:]
    more = f" Also over a threshold: {', '.join(rest)}." if rest else ""
    return ". ".join(told) + "." + more


def sentence(comparison: cz.Comparison, model: str) -> str:
    """What one variant says about the study."""
    index = comparison.models().index(model)
    scored = {level: comparison.probabilities(level)[index] for level in cz.LEVELS}
    known = {level: value for level, value in scored.items() if value is not None}
    limit = comparison.thresholds(cz.LEVELS[0])[index]
    over = {level: value for level, value in known.items() if value >= limit}
    if over:
        digits = _digits(*over.values(), limit)
        told = [f"{level} ({value:.{digits}f})" for level, value in over.items()]
        first = f"Over its threshold of {limit:.{digits}f} at {_listed(told)}."
    elif known:
        level = max(known, key=lambda name: known[name])
        digits = _digits(known[level], limit)
        first = (
            f"No level over its threshold of {limit:.{digits}f}; "
            f"highest is {level} ({known[level]:.{digits}f})."
        )
    else:
        first = "No level was scored."
    patient = comparison.probabilities(cz.PATIENT_OVERALL)[index]
    if patient is None:
        return first
    limit = comparison.thresholds(cz.PATIENT_OVERALL)[index]
    side, digits = "over" if patient >= limit else "under", _digits(patient, limit)
    return f"{first} Patient: {patient:.{digits}f}, {side} its threshold of {limit:.{digits}f}."


def mean_name(comparison: cz.Comparison) -> str:
    """What the ensemble is called."""
    return f"mean of {_number(len(comparison.models()))}"


def mean_sentence(comparison: cz.Comparison) -> str:
    """What the ensemble says, and that it decides nothing."""
    known = {level: comparison.mean(level) for level in cz.LEVELS}
    level = max(known, key=lambda name: known[name] or 0.0)
    value, patient = known[level], comparison.mean(cz.PATIENT_OVERALL)
    if value is None or patient is None:
        return "No level was scored."
    return (
        f"Highest is {level} ({value:.2f}). Patient: {patient:.2f}. No threshold: "
        "each variant's was chosen for it alone."
    )


def agreement_sentence(comparison: cz.Comparison) -> str:
    """At which levels the variants agree, and how little would turn one of them."""
    votes = {level: comparison.votes(level) for level in cz.LEVELS}
    scored = {level: own for level, own in votes.items() if own[1]}
    groups = {
        "All under their thresholds": [n for n, (over, _) in scored.items() if not over],
        "All over": [n for n, (over, count) in scored.items() if over == count],
        "Divided": [n for n, (over, count) in scored.items() if 0 < over < count],
    }
    told = [f"{words}: {_listed(levels)}" for words, levels in groups.items() if levels]
    nearest = min(scored, key=lambda level: abs(closest(comparison, level)[1]), default=None)
    if nearest is None:
        return "No level was scored."
    model, margin = closest(comparison, nearest)
    side = "over" if margin >= 0 else "under"
    return (
        f"{'. '.join(told)}. Closest call: {nearest}, where {model} is {abs(margin):.3f} {side} "
        "its threshold."
    )


def closest(comparison: cz.Comparison, row: str) -> tuple[str, float]:
    """The variant that is nearest to its own threshold, and how far it is over it, or under (-).

    Raises:
        ValueError: no variant scored the row.
    """
    known = [
        (model, margin)
        for model, margin in zip(comparison.models(), comparison.margins(row), strict=True)
        if margin is not None
    ]
    return min(known, key=lambda pair: abs(pair[1]))


def truth_sentence(truth: Mapping[str, int]) -> str:
    """What is known about a sample; empty if nothing is."""
    if not truth:
        return ""
    levels = [level for level in cz.LEVELS if truth.get(level)]
    return f"Known truth: fracture of {_listed(levels)}." if levels else "Known truth: no fracture."


def _highest(comparison: cz.Comparison, row: str) -> float:
    return max((p for p in comparison.probabilities(row) if p is not None), default=-1.0)


def _numbers(comparison: cz.Comparison, row: str) -> str:
    values = comparison.probabilities(row)
    return ", ".join("not scored" if value is None else f"{value:.2f}" for value in values)


def _digits(*values: float) -> int:
    """Two, or three where two would show a value and its threshold as the same number."""
    return 2 if len({f"{value:.2f}" for value in values}) == len(set(values)) else 3


def _state(comparison: cz.Comparison, row: str) -> str:
    above, scored = comparison.votes(row)
    return "called fractured" if 2 * above > scored else "in dispute"


def _vote(comparison: cz.Comparison, row: str) -> str:
    above, scored = comparison.votes(row)
    if scored == 1:
        return "over the threshold"
    if above == scored:
        return f"all {_number(scored)} variants over their threshold"
    whose = "its" if above == 1 else "their"
    return f"{_number(above)} of {_number(scored)} variants over {whose} threshold"


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names without the words that all of them begin or end with, for plots and table heads."""
    words = [name.split("-") for name in names]
    room = min(len(parts) for parts in words) - 1
    if len(names) < 2:
        return {name: name for name in names}
    before = next((i for i in range(room) if len({parts[i] for parts in words}) > 1), room)
    room -= before
    after = next((i for i in range(room) if len({parts[-1 - i] for parts in words}) > 1), room)
    return {
        name: "-".join(parts[before : len(parts) - after])
        for name, parts in zip(names, words, strict=True)
    }
