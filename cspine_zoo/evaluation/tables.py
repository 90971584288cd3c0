"""Tables of the report: figures with intervals as cells, each text from outside escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.bootstrap import Figure
from cspine_zoo.evaluation.charts import colour_of
from cspine_zoo.evaluation.curves import Confusion, ReliabilityBin
from cspine_zoo.evaluation.metrics import BINARY_NAMES
from cspine_zoo.evaluation.paired import COMPARED

MetricNode = Mapping[str, Any]
"""A model's object in ``evaluation.json``."""

SIX: Final = dict(
    zip(
        BINARY_NAMES,
        ("AUC", "Accuracy", "Precision", "Recall", "F1", "Specificity"),
        strict=True,
    )
)
_DIFFERENCES: Final = dict(zip(COMPARED, ("Log loss", "Patient AUC", "Vertebra AUC"), strict=True))
STRATA: Final = {
    "conspicuity": ("conspicuity", "", 1),
    "thickness": ("slice thickness", " mm", 2),
    "noise": ("noise", " HU", 1),
    "field": ("field of view", " mm", 0),
    "displacement": ("displacement", " mm", 2),
}
"""Of each stratum its name, unit and decimals."""


def cell(figure: Figure, decimals: int = 3) -> str:
    """Value over its interval; what it counts shows on hovering."""
    if figure["value"] is None:
        return "<span class='faint'>undefined</span>"
    text = f"{figure['value']:.{decimals}f}"
    if figure["ci95"] is not None:
        low, high = figure["ci95"]
        text += f"<br><span class='span'>{low:.{decimals}f} to {high:.{decimals}f}</span>"
    return f"<span title='n = {figure['n']}'>{text}</span>"


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already; the first of a line is its heading. Wide tables scroll."""
    head = "".join(f"<th scope='col'>{heading}</th>" for heading in headings)
    body = "".join(
        f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{text}</td>' for text in rest)}</tr>"
        for first, *rest in lines
    )
    return (
        "<div class='scroll' tabindex='0'><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def label(name: str, index: int) -> str:
    """A model's name behind its colour."""
    key = f"<span class='key' style='background:{colour_of(index)}'></span>"
    return f"<span class='name'>{key}{escape(name)}</span>"


def overview(models: Mapping[str, MetricNode]) -> str:
    """One line a model: what one looks at first."""
    headings = (
        "Model",
        "Log loss",
        "Patient AUC",
        "Vertebra AUC",
        "Patient F1",
        "Vertebra F1",
        "ECE",
        "Order within twins",
    )
    return table(
        headings,
        (
            (
                label(name, index),
                cell(model["log_loss"]),
                cell(model["patient"]["auc"]),
                cell(model["vertebra"]["auc"]),
                cell(model["patient"]["f1"]),
                cell(model["vertebra"]["f1"]),
                cell(model["ece"]),
                cell(model["twin_order"]),
            )
            for index, (name, model) in enumerate(models.items())
        ),
    )


def operating_points(
    models: Mapping[str, MetricNode],
    of: str,
    thresholds: Mapping[str, float],
    precisions: Mapping[str, Figure],
) -> str:
    """The six figures of patients or vertebrae, and the average precision.

    Args:
        models: by name.
        of: ``"patient"`` or ``"vertebra"``.
        thresholds: the operating point of each.
        precisions: the average precision of each.
    """
    return table(
        ("Model", "Threshold", *SIX.values(), "Average precision"),
        (
            (
                label(name, index),
                f"{thresholds[name]:.3f}",
                *(cell(model[of][figure]) for figure in SIX),
                cell(precisions[name]),
            )
            for index, (name, model) in enumerate(models.items())
        ),
    )


def per_level(model: MetricNode, counts: Mapping[str, Confusion]) -> str:
    """Calls and the six figures of each level, and of the patient.

    Args:
        model: the figures.
        counts: by level, and by ``"patient"``.
    """
    figures = {**model["per_level"], "patient": model["patient"]}
    return table(
        ("Level", "Fractured, called", "Whole, called", *SIX.values()),
        (
            (
                level,
                f"{own.hits} of {own.fractured}",
                f"{own.false_alarms} of {own.whole}",
                *(cell(figures[level][figure]) for figure in SIX),
            )
            for level, own in counts.items()
        ),
    )


def reliability_bins(bins: Sequence[ReliabilityBin]) -> str:
    """What the calibration chart shows."""
    return table(
        ("Bin", "Vertebrae", "Mean probability", "Share fractured"),
        (
            (
                f"{own.low:.3f} to {own.high:.3f}",
                str(own.fractured["n"]),
                f"{own.probability:.3f}",
                cell(own.fractured),
            )
            for own in bins
        ),
    )


def halves(strata: MetricNode) -> list[tuple[str, MetricNode]]:
    """Each half of the data with the words that say which."""
    found = []
    for name, stratum in strata.items():
        words, unit, decimals = STRATA[name]
        median = f"{stratum['median']['value']:.{decimals}f}{unit}"
        found.append((f"{words} ≤ {median}", stratum["low"]))
        found.append((f"{words} > {median}", stratum["high"]))
    return found


def strata(model: MetricNode) -> str:
    """What one half of the data says against the other."""
    shown = {"auc": "AUC", "recall": "recall", "specificity": "specificity"}
    columns = [(of, name) for of in ("patient", "vertebra") for name in shown]
    return table(
        ("Studies", *(f"{of.capitalize()} {shown[name]}" for of, name in columns)),
        (
            (escape(words), *(cell(half[of][name]) for of, name in columns))
            for words, half in halves(model["strata"])
        ),
    )


def segmenters(groups: Mapping[str, MetricNode]) -> str:
    """Dice of each level, names and distances of each segmenter."""
    headings = ("Segmenter", *(f"Dice {level}" for level in LEVELS), "Identified", "Centroid error")
    return table(
        headings,
        (
            (
                label(name, index),
                *(cell(model["dice"][level]) for level in LEVELS),
                cell(model["identification_rate"]),
                cell(model["centroid_error_mm"], 1),
            )
            for index, (name, model) in enumerate(groups.items())
        ),
    )


def findings(models: Mapping[str, MetricNode]) -> str:
    """Fractures found and false findings."""
    return table(
        ("Model", "Fractures found", "False findings a study"),
        (
            (
                label(name, index),
                cell(model["findings"]["recall"]),
                cell(model["findings"]["false_per_study"], 2),
            )
            for index, (name, model) in enumerate(models.items())
        ),
    )


def comparisons(pairs: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """First minus second, with the p of each difference."""
    order = list(names)
    headings = ["First minus second"]
    for words in _DIFFERENCES.values():
        headings += [words, "p"]
    lines = []
    for pair in pairs:
        both = (label(names[pair[side]], order.index(pair[side])) for side in ("first", "second"))
        cells = [" minus<br>".join(both)]
        for name in _DIFFERENCES:
            p = pair[name]["p"]
            cells += [cell(pair[name]), "" if p is None else f"{p:.3f}"]
        lines.append(cells)
    return table(headings, lines)
