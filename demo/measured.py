"""Rows of tables and sentences about stored evaluations; every number stands in words or cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cspine_zoo as cz
from verdict import short_names

Figure = Mapping[str, Any]
"""``{"value", "ci95", "n"}``, as in ``evaluate --json``."""

Stored = Mapping[str, cz.StoredEvaluation]
"""By name of the variant."""

UNDEFINED: Final = "–"

FACTS: Final = {
    "conspicuity": ("Conspicuity", "conspicuity d' of the fracture", ""),
    "thickness": ("Thickness", "slice thickness", " mm"),
    "noise": ("Noise", "noise", " HU"),
    "field": ("Field of view", "field of view", " mm"),
    "displacement": ("Displacement", "displacement of the fragments", " mm"),
}
"""Name on a button, name in a sentence, and unit of what studies are halved by."""

_NBSP: Final = "\N{NO-BREAK SPACE}"
_OF_FRACTURES: Final = ("conspicuity", "displacement")

_COMPARED: Final = {
    "log_loss": ("Log loss (lower is better)", False),
    "patient_auc": ("Patient AUC", True),
    "vertebra_auc": ("Vertebra AUC", True),
}
_SURE: Final = 0.05


def number(figure: Figure, digits: int = 2) -> str:
    """Value and interval, such as ``0.80 (0.71 to 0.90)``."""
    if figure["value"] is None:
        return UNDEFINED
    value = f"{figure['value']:.{digits}f}"
    if figure["ci95"] is None:
        return value
    low, high = figure["ci95"]
    # A narrow cell may break before its bracket, never within it.
    return f"{value} ({low:.{digits}f}{_NBSP}to{_NBSP}{high:.{digits}f})"


def data_sentence(stored: cz.StoredEvaluation) -> str:
    """What the studies were."""
    studies = stored.studies
    fractured = [study for study in studies if study.fractured]
    vertebrae = sum(sum(study.truth) for study in studies)
    return (
        f"{len(studies)} synthetic studies, {len(fractured)} with a fracture, {vertebrae} of "
        f"{len(studies) * len(cz.LEVELS)} vertebrae fractured{_twins(stored)}."
    )


def _twins(stored: cz.StoredEvaluation) -> str:
    truth = {study.number: study.truth for study in stored.studies}
    pairs = {
        (study.number, study.twin)
        for study in stored.studies
        if study.twin is not None and study.number < study.twin
    }
    if not pairs:
        return ""
    alike = sum(truth[first] == truth[second] for first, second in pairs)
    told = f", {len(pairs)} pairs of twins that differ by the fracture alone"
    return f"{told} ({alike} of them by none in C1 to C7)" if alike else told


def missing_sentence(stored: cz.StoredEvaluation) -> str:
    """Which levels got no probability; empty if all did."""
    answers = stored.record.probabilities
    counts = {
        level: sum(row[place] is None for row in answers) for place, level in enumerate(cz.LEVELS)
    }
    missing = {level: count for level, count in counts.items() if count}
    if not missing:
        return ""
    told = ", ".join(f"{level} in {count}" for level, count in missing.items())
    return (
        f"{sum(missing.values())} of {len(answers) * len(cz.LEVELS)} vertebrae were not found and "
        f"count with how often their level is fractured in RSNA's patients: {told} of "
        f"{len(answers)} studies."
    )


def overview_rows(stored: Stored) -> list[dict[str, str]]:
    """One row a variant: what it reached, with intervals."""
    return [
        {
            "Variant": f"**{name}**",
            "Log loss": number(own.figures["log_loss"], 3),
            "Patient AUC": number(own.figures["patient"]["auc"]),
            "Vertebra AUC": number(own.figures["vertebra"]["auc"]),
            "ECE": number(own.figures["ece"], 3),
            "Twins in order": number(own.figures["twin_order"]),
        }
        for name, own in stored.items()
    ]


def call_rows(stored: Stored, of: str) -> list[dict[str, str]]:
    """One row a variant: its calls at its own threshold, counted and as shares.

    Args:
        stored: the evaluations.
        of: ``"patient"`` or ``"vertebra"``.
    """
    rows = []
    for name, own in stored.items():
        counts, six = own.confusion(of), own.figures[of]
        rows.append(
            {
                "Variant": f"**{short_names(list(stored))[name]}**",
                "Threshold": f"{getattr(own.thresholds, of):.3f}",
                "Found": f"{counts.hits}{_NBSP}of{_NBSP}{counts.fractured}",
                "Recall": number(six["recall"]),
                "False alarms": f"{counts.false_alarms}{_NBSP}of{_NBSP}{counts.whole}",
                "Specificity": number(six["specificity"]),
            }
        )
    return rows


def level_rows(stored: Stored) -> list[dict[str, str]]:
    """One row a level: how many are fractured, each variant's AUC and calls."""
    short = short_names(list(stored))
    rows = []
    for level in cz.LEVELS:
        first = next(iter(stored.values()))
        counts = first.confusion(level)
        cells = {
            "Level": f"**{level}**",
            "Fractured": f"{counts.fractured} of {len(first.studies)}",
        }
        for name, own in stored.items():
            found = own.confusion(level)
            cells[short[name]] = (
                f"{number(own.figures['per_level'][level]['auc'])}; "
                f"found{_NBSP}{found.hits}, false{_NBSP}{found.false_alarms}"
            )
        rows.append(cells)
    return rows


def facts_known(stored: Stored) -> list[str]:
    """What the studies can be halved by."""
    return [fact for fact in FACTS if all(fact in own.figures["strata"] for own in stored.values())]


def halves(own: cz.StoredEvaluation, fact: str) -> dict[str, Mapping[str, Any]]:
    """Figures of the lower and the upper half, by a title with the cut."""
    known = own.figures["strata"][fact]
    cut = f"{known['median']['value']:.3g}{FACTS[fact][2]}"
    name = FACTS[fact][0]
    return {f"{name} up to {cut}": known["low"], f"{name} over {cut}": known["high"]}


def half_rows(stored: Stored, fact: str) -> list[dict[str, str]]:
    """One row a half and variant."""
    short = short_names(list(stored))
    of_variant = {name: halves(own, fact) for name, own in stored.items()}
    titles = list(next(iter(of_variant.values())))
    return [
        {
            "Half": title,
            "Variant": f"**{short[name]}**",
            "Vertebra AUC": number(own[title]["vertebra"]["auc"]),
            "Vertebra recall": number(own[title]["vertebra"]["recall"]),
            "Patient AUC": number(own[title]["patient"]["auc"]),
        }
        for title in titles
        for name, own in of_variant.items()
        if title in own
    ]


def half_sentence(fact: str) -> str:
    """How the halves are cut."""
    text = f"Halves are cut at the median {FACTS[fact][1]}."
    if fact in _OF_FRACTURES:
        text += " Whole studies have none: all of them stand against either half."
    return text


def bin_rows(stored: Stored) -> list[dict[str, str]]:
    """One row a variant and bin of the reliability curve."""
    short = short_names(list(stored))
    return [
        {
            "Variant": f"**{short[name]}**",
            "Probability": f"{each.low:.2f} to {each.high:.2f}",
            "Mean": f"{each.probability:.3f}",
            "Share fractured": number(each.fractured),
            "Vertebrae": str(each.fractured["n"]),
        }
        for name, own in stored.items()
        for each in own.reliability
    ]


def difference_rows(differences: Mapping[str, Figure]) -> list[dict[str, str]]:
    """One row a figure: the difference of two variants, its interval and p."""
    return [
        {
            "Figure": title,
            "First minus second": number(differences[key], 3),
            "p": _p(differences[key]),
        }
        for key, (title, _) in _COMPARED.items()
    ]


def difference_sentence(first: str, second: str, differences: Mapping[str, Figure]) -> str:
    """Which of two variants is better at what, where chance does not explain it."""
    sure = []
    for key, (title, high_is_better) in _COMPARED.items():
        value, p = differences[key]["value"], differences[key].get("p")
        if value is None or p is None or p >= _SURE:
            continue
        better = first if (value > 0) == high_is_better else second
        sure.append(f"{better} has the better {title.split(' (')[0].lower().replace('auc', 'AUC')}")
    if not sure:
        return (
            "No difference that chance would not make as well: these studies cannot tell the two "
            "apart."
        )
    return f"More than chance: {'; '.join(sure)}."


def _p(figure: Figure) -> str:
    p = figure.get("p")
    return UNDEFINED if p is None else f"{p:.3f}"
