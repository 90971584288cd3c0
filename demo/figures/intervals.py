"""Figures with their intervals, category by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from figures.curves import interval_bars, symbol_of
from palette import NEUTRAL
from verdict import short_names

_ROOM: Final = 0.7
"""Share of a category's height that its variants fill."""


def interval_figure(
    categories: Sequence[str],
    figures: Mapping[str, Sequence[Mapping[str, Any]]],
    colours: Mapping[str, str],
    ink: str,
    chance: float | None = None,
) -> go.Figure:
    """A mark with its whiskers for each category and variant, categories from the top down.

    Args:
        categories: names at the left.
        figures: of each variant, one a category, as ``{"value", "ci95", "n"}``.
        colours: one a variant.
        ink: colour of the words around.
        chance: what a guess would reach; drawn as a line.
    """
    chart = go.Figure()
    short = short_names(list(figures))
    step = _ROOM / max(len(figures), 1)
    for place, (name, own) in enumerate(figures.items()):
        known = [(at, each) for at, each in enumerate(own) if each["value"] is not None]
        shift = (place - (len(figures) - 1) / 2) * step
        chart.add_scatter(
            name=short[name],
            x=[each["value"] for _, each in known],
            y=[at + shift for at, _ in known],
            error_x=interval_bars([each for _, each in known], colours[name]),
            mode="markers",
            marker={"color": colours[name], "size": 9, "symbol": symbol_of(place)},
            customdata=[[categories[at], each["n"]] for at, each in known],
            hovertemplate=f"{short[name]}, %{{customdata[0]}}<br>%{{x:.2f}}, "
            "n = %{customdata[1]}<extra></extra>",
        )
    if chance is not None:
        chart.add_vline(x=chance, line={"color": NEUTRAL, "dash": "dot", "width": 1})
    chart.update_layout(
        height=50 + (16 + 15 * len(figures)) * len(categories),
        font={"color": ink},
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        showlegend=False,
        dragmode=False,
    )
    chart.update_xaxes(
        range=[-0.02, 1.02],
        dtick=0.25,
        fixedrange=True,
        tickfont={"color": ink},
        zeroline=False,
    )
    chart.update_yaxes(
        tickvals=list(range(len(categories))),
        ticktext=list(categories),
        range=[len(categories) - 0.5, -0.5],
        fixedrange=True,
        tickfont={"color": ink},
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return chart
