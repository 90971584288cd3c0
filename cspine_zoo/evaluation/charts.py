"""Plotly figures of an evaluation, each from figures that are known already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cspine_zoo.evaluation.bootstrap import Figure
from cspine_zoo.evaluation.curves import Confusion, Curve, ReliabilityBin
from cspine_zoo.export.html import COLOURS

_GRID: Final = "#e4e4e4"
_INK: Final = "#1b1b1b"
_SPREAD: Final = 0.16  # between the models of one category, in widths of a category


def colour_of(index: int) -> str:
    """The colour of the model at ``index``, the same in every chart and table."""
    return COLOURS[index % len(COLOURS)]


def shade(colour: str, opacity: float) -> str:
    """``#rrggbb`` with an opacity, as CSS writes it."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def curve_chart(
    curves: Mapping[str, Curve | None],
    points: Mapping[str, tuple[float | None, float | None]],
    titles: tuple[str, str],
    chance: tuple[tuple[float, float], tuple[float, float]],
) -> go.Figure:
    """ROC or precision-recall curves.

    Args:
        curves: by model; None where undefined.
        points: x and y of each model's operating point.
        titles: of the axes.
        chance: x and y of the line that a guess would give.
    """
    figure = go.Figure(layout=_layout(380))
    figure.add_scatter(
        x=chance[0],
        y=chance[1],
        mode="lines",
        line={"color": "#888888", "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    # A straight line between two precisions would flatter; the area under steps is the average.
    shape = "vh" if titles[1] == "Precision" else "linear"
    for index, (name, curve) in enumerate(curves.items()):
        if curve is None:
            continue
        figure.add_scatter(
            x=curve.x,
            y=curve.y,
            customdata=[f"{t:.3f}" if t <= 1 else "none" for t in curve.thresholds],
            mode="lines",
            name=escape(name),
            line={"color": colour_of(index), "width": 2, "shape": shape},
            hovertemplate=f"{titles[0]} %{{x:.3f}}<br>{titles[1]} %{{y:.3f}}"
            "<br>threshold %{customdata}",
        )
        x, y = points[name]
        if x is not None and y is not None:
            figure.add_scatter(
                x=[x],
                y=[y],
                mode="markers",
                name=escape(name),
                marker={"color": colour_of(index), "size": 11, "line": _RIM},
                hovertemplate="operating point<br>%{x:.3f}, %{y:.3f}",
            )
    figure.update_xaxes(title=titles[0], range=[-0.02, 1.02], dtick=0.2)
    figure.update_yaxes(title=titles[1], range=[-0.02, 1.02], dtick=0.2)
    return figure


_RIM: Final = {"color": _INK, "width": 1}


def reliability_chart(bins: Mapping[str, Sequence[ReliabilityBin]]) -> go.Figure:
    """Share of fractured vertebrae over predicted probability, and how many are in each bin."""
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.06
    )
    figure.update_layout(_layout(460), barmode="group", bargap=0.15)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": "#888888", "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    for index, (name, own) in enumerate(bins.items()):
        shares = [each.fractured for each in own]
        figure.add_scatter(
            x=[each.probability for each in own],
            y=[share["value"] for share in shares],
            error_y=_error_bars(shares, colour_of(index)),
            mode="lines+markers",
            name=escape(name),
            line={"color": shade(colour_of(index), 0.35), "width": 1.5},
            # A dot for many vertebrae is large: bins of one or two must not catch the eye.
            marker={
                "color": colour_of(index),
                "size": [4 + 8 * min(1.0, share["n"] / 50) for share in shares],
            },
            customdata=[share["n"] for share in shares],
            hovertemplate="predicted %{x:.3f}<br>fractured %{y:.3f}<br>%{customdata} vertebrae",
        )
        figure.add_bar(
            x=[(each.low + each.high) / 2 for each in own],
            y=[share["n"] for share in shares],
            name=escape(name),
            marker_color=colour_of(index),
            hovertemplate="%{y} vertebrae",
            row=2,
            col=1,
        )
    end = max((each.high for own in bins.values() for each in own), default=1.0)
    figure.update_xaxes(range=[-0.01, end + 0.01], dtick=0.1)
    figure.update_xaxes(title="Predicted probability", row=2, col=1)
    figure.update_yaxes(title="Share fractured", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(range=[-0.02, min(1.0, _highest(bins) + 0.05) + 0.02], row=1, col=1)
    figure.update_yaxes(title="Vertebrae", type="log", dtick=1, row=2, col=1)
    return figure


def _highest(bins: Mapping[str, Sequence[ReliabilityBin]]) -> float:
    shown = [each.high for own in bins.values() for each in own]
    for own in bins.values():
        for each in own:
            shown.append((each.fractured["ci95"] or [0, each.fractured["value"]])[1])
    return max(shown, default=1.0)


def interval_chart(
    categories: Sequence[str],
    figures: Mapping[str, Sequence[Figure]],
    title: str,
    chance: float | None = None,
) -> go.Figure:
    """A dot with its interval for each category and model; categories from the top down."""
    height = 90 + max(22, 14 * len(figures)) * len(categories)
    chart = go.Figure(layout=_layout(height))
    middle = (len(figures) - 1) / 2
    for index, (name, own) in enumerate(figures.items()):
        known = [(at, figure) for at, figure in enumerate(own) if figure["value"] is not None]
        chart.add_scatter(
            x=[figure["value"] for _, figure in known],
            y=[at + (index - middle) * min(_SPREAD, 0.8 / len(figures)) for at, _ in known],
            error_x=_error_bars([figure for _, figure in known], colour_of(index)),
            mode="markers",
            name=escape(name),
            marker={"color": colour_of(index), "size": 8},
            customdata=[[escape(categories[at]), figure["n"]] for at, figure in known],
            hovertemplate="%{customdata[0]}: %{x:.3f}<br>n = %{customdata[1]}",
        )
    if chance is not None:
        chart.add_vline(x=chance, line={"color": "#888888", "dash": "dot", "width": 1})
    chart.update_xaxes(title=title, range=[-0.02, 1.02], dtick=0.2)
    chart.update_yaxes(
        tickvals=list(range(len(categories))),
        ticktext=[escape(category) for category in categories],
        range=[len(categories) - 0.5, -0.5],
        showgrid=False,
    )
    return chart


def confusion_chart(counts: Mapping[str, Confusion]) -> go.Figure:
    """Counts by level, shaded by their share of the fractured and of the whole ones."""
    columns = [
        "fractured,<br>called",
        "fractured,<br>missed",
        "whole,<br>called",
        "whole,<br>not called",
    ]
    numbers, shades = [], []
    for own in counts.values():
        numbers.append([own.hits, own.missed, own.false_alarms, own.rejected])
        fractured, whole = max(own.fractured, 1), max(own.whole, 1)
        shades.append(
            [
                own.hits / fractured,
                -own.missed / fractured,
                -own.false_alarms / whole,
                own.rejected / whole,
            ]
        )
    figure = go.Figure(layout=_layout(110 + 30 * len(counts)))
    figure.add_heatmap(
        x=columns,
        y=[escape(level) for level in counts],
        z=shades,
        text=numbers,
        texttemplate="%{text}",
        textfont={"color": _INK, "size": 13},
        zmin=-1,
        zmax=1,
        # Blue for right and orange for wrong, light enough for the numbers on them.
        colorscale=[[0, "#f0b35c"], [0.5, "#ffffff"], [1, "#7fb2dc"]],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure.update_xaxes(side="top", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def _error_bars(figures: Sequence[Figure], colour: str) -> dict[str, Any]:
    spans = [figure["ci95"] or [figure["value"], figure["value"]] for figure in figures]
    return {
        "type": "data",
        "symmetric": False,
        "array": [span[1] - figure["value"] for span, figure in zip(spans, figures, strict=True)],
        "arrayminus": [
            figure["value"] - span[0] for span, figure in zip(spans, figures, strict=True)
        ],
        "color": colour,
        "thickness": 1.2,
        "width": 3,
    }


def _layout(height: int) -> dict[str, Any]:
    axis = {
        "gridcolor": _GRID,
        "linecolor": "#999999",
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,  # a finger that scrolls the page must not zoom a chart
    }
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 50, "r": 12, "t": 12, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": axis,
        "yaxis": axis,
        "xaxis2": axis,
        "yaxis2": axis,
    }
