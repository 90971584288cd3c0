"""Variants against levels, one number a cell."""

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go

import cspine_zoo as cz
from verdict import short_names

# Cividis keeps its order for every kind of colour vision (Nunez et al., PLOS ONE 2018).
_SCALE: Final = "Cividis"
_ROWS: Final = (*cz.LEVELS, cz.PATIENT_OVERALL)
_LIGHT_FROM: Final = 0.5


def heatmap_figure(comparison: cz.Comparison, truth: Mapping[str, int], ink: str) -> go.Figure:
    """Probabilities as colour and number; a star marks those at or over their own threshold.

    Args:
        comparison: one or more variants on one study.
        truth: 1 for a fracture, 0 for none, by row; fractured rows get a diamond at their name.
        ink: colour of the words around the cells.
    """
    models = comparison.models()
    short = short_names(models)
    table = [comparison.probabilities(row) for row in _ROWS]
    figure = go.Figure(
        go.Heatmap(
            z=[list(column) for column in zip(*table, strict=True)],
            x=[_title(row, truth) for row in _ROWS],
            y=[short[model] for model in models],
            customdata=[[model] * len(_ROWS) for model in models],
            hovertemplate="%{customdata}<br>%{x}: %{z:.3f}<extra></extra>",
            colorscale=_SCALE,
            zmin=0,
            zmax=1,
            xgap=3,
            ygap=3,
            showscale=False,
        )
    )
    _add_numbers(figure, comparison, truth, ink)
    figure.update_layout(
        height=70 + 44 * len(models),
        font={"color": ink},
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        dragmode=False,
        showlegend=False,
    )
    figure.update_xaxes(
        fixedrange=True, tickfont={"color": ink}, side="top", showgrid=False, ticks=""
    )
    figure.update_yaxes(
        fixedrange=True,
        tickfont={"color": ink},
        autorange="reversed",
        showgrid=False,
        ticks="",
        automargin=True,
    )
    return figure


def _add_numbers(
    figure: go.Figure, comparison: cz.Comparison, truth: Mapping[str, int], ink: str
) -> None:
    """The number of every cell, in the colour that its ground needs."""
    short = short_names(comparison.models())
    cells = [
        (_title(row, truth), short[model], value, threshold)
        for m, model in enumerate(comparison.models())
        for row in _ROWS
        for value, threshold in [(comparison.probabilities(row)[m], comparison.thresholds(row)[m])]
    ]
    figure.add_scatter(
        x=[x for x, _, _, _ in cells],
        y=[y for _, y, _, _ in cells],
        mode="text",
        text=[_cell(value, threshold) for _, _, value, threshold in cells],
        textfont={"size": 12, "color": [_on_cell(value, ink) for _, _, value, _ in cells]},
        hoverinfo="skip",
    )


def _on_cell(value: float | None, ink: str) -> str:
    """White on Cividis' dark half, black on its light half."""
    if value is None:
        return ink
    return "#ffffff" if value < _LIGHT_FROM else "#000000"


def _cell(value: float | None, threshold: float) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" + ("*" if value >= threshold else "")


def _title(row: str, truth: Mapping[str, int]) -> str:
    name = "Patient" if row == cz.PATIENT_OVERALL else row
    return f"{name} ◆" if truth.get(row) else name
