"""ROC and reliability curves of stored evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

import cspine_zoo as cz
from palette import NEUTRAL, shade
from verdict import short_names

_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px 2px")
_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_FULL_DOT: Final = 50
"""Vertebrae from which on a bin's dot has its full size."""
FEW: Final = 10
"""A bin of fewer vertebrae tells next to nothing: its interval would fill the plot."""


def symbol_of(place: int) -> str:
    """A marker for each variant, for those to whom its colour says nothing."""
    return _SYMBOLS[place % len(_SYMBOLS)]


def roc_figure(
    stored: Mapping[str, cz.StoredEvaluation], of: str, colours: Mapping[str, str], ink: str
) -> go.Figure:
    """One curve a variant, its mark at the variant's own threshold.

    Args:
        stored: evaluations by variant.
        of: ``"patient"``, ``"vertebra"`` or a level.
        colours: one a variant.
        ink: colour of the words around.
    """
    figure, short = _begin(stored)
    for place, (name, own) in enumerate(stored.items()):
        curve, counts = own.roc(of), own.confusion(of)
        if curve is None:
            continue
        figure.add_scatter(
            name=short[name],
            x=curve.x,
            y=curve.y,
            mode="lines",
            line={"color": colours[name], "width": 2.5, "dash": _DASHES[place % len(_DASHES)]},
            customdata=[f"{t:.3f}" if t <= 1 else "none" for t in curve.thresholds],
            hovertemplate=f"{short[name]}<br>recall %{{y:.2f}}, false alarms %{{x:.2f}}"
            "<br>threshold %{customdata}<extra></extra>",
        )
        figure.add_scatter(
            name=f"threshold of {short[name]}",
            x=[counts.false_alarms / counts.whole],
            y=[counts.hits / counts.fractured],
            mode="markers",
            marker={
                "color": colours[name],
                "symbol": symbol_of(place),
                "size": 13,
                "line": {"color": ink, "width": 1.5},
            },
            hovertemplate=f"{short[name]} at its threshold<br>recall %{{y:.2f}}, "
            "false alarms %{x:.2f}<extra></extra>",
        )
    _frame(figure, ink, "False alarms among whole", "Recall")
    figure.update_xaxes(range=[-0.02, 1.02], dtick=0.25)
    figure.update_yaxes(range=[-0.02, 1.02], dtick=0.25)
    return figure


def reliability_figure(
    stored: Mapping[str, cz.StoredEvaluation], colours: Mapping[str, str], ink: str
) -> go.Figure:
    """Share of fractured vertebrae over the probability that they were given, bin by bin.

    Args:
        stored: evaluations by variant.
        colours: one a variant.
        ink: colour of the words around.
    """
    figure, short = _begin(stored)
    for place, (name, own) in enumerate(stored.items()):
        bins = own.reliability
        shares = [each.fractured for each in bins]
        counts = [share["n"] for share in shares]
        figure.add_scatter(
            name=short[name],
            x=[each.probability for each in bins],
            y=[share["value"] for share in shares],
            error_y=interval_bars(
                [{**share, "ci95": None} if share["n"] < FEW else share for share in shares],
                shade(colours[name], 0.6),
            ),
            mode="markers",
            marker={
                "color": colours[name],
                "symbol": symbol_of(place),
                "size": [5 if n < FEW else 7 + 8 * min(1.0, n / _FULL_DOT) for n in counts],
                "opacity": [0.6 if n < FEW else 1.0 for n in counts],
            },
            customdata=counts,
            hovertemplate=f"{short[name]}<br>given %{{x:.2f}}, fractured %{{y:.2f}}"
            "<br>%{customdata} vertebrae<extra></extra>",
        )
    _frame(figure, ink, "Probability given", "Share fractured")
    end = max((each.high for own in stored.values() for each in own.reliability), default=1.0)
    figure.update_xaxes(range=[-0.02, min(1.0, end) + 0.02])
    figure.update_yaxes(range=[-0.02, 1.02], dtick=0.25)
    return figure


def interval_bars(figures: Sequence[Mapping[str, Any]], colour: str) -> dict[str, Any]:
    """Whiskers of 95 % intervals; none where there is no interval."""
    spans = [figure["ci95"] or (figure["value"], figure["value"]) for figure in figures]
    values = [figure["value"] for figure in figures]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for (_, high), value in zip(spans, values, strict=True)],
        "arrayminus": [value - low for (low, _), value in zip(spans, values, strict=True)],
        "color": colour,
        "thickness": 1.5,
        "width": 3,
    }


def _begin(stored: Mapping[str, cz.StoredEvaluation]) -> tuple[go.Figure, dict[str, str]]:
    """The diagonal of guesses and of honest probabilities, and the variants' short names."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": NEUTRAL, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    return figure, short_names(list(stored))


def _frame(figure: go.Figure, ink: str, x: str, y: str) -> None:
    figure.update_layout(
        height=360,
        font={"color": ink},
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        showlegend=False,
        dragmode=False,
    )
    axis = {"fixedrange": True, "tickfont": {"color": ink}, "zeroline": False, "automargin": True}
    figure.update_xaxes(title={"text": x, "font": {"color": ink}}, **axis)
    figure.update_yaxes(title={"text": y, "font": {"color": ink}}, **axis)
