"""Variants against levels, one number a cell."""

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go

import cspine_zoo as cz
from verdict import mean_name, short_names

# Cividis keeps its order for every kind of colour vision (Nunez et al., PLOS ONE 2018).
_SCALE: Final = "Cividis"
_ROWS: Final = (*cz.LEVELS, cz.PATIENT_OVERALL)
_UNDER: Final = 0.4
_OVER: Final = 0.6
"""Where on the scale a threshold lies for cells under it and for those at or over it: the step
between them shows every verdict, however close it was."""


def heatmap_figure(comparison: cz.Comparison, truth: Mapping[str, int], ink: str) -> go.Figure:
    """How far every probability is under or over its variant's own threshold, and its number.

    The mean of the variants has numbers but no colour, for it has no threshold.

    Args:
        comparison: one or more variants on one study.
        truth: 1 for a fracture, 0 for none, by row; fractured rows get a diamond at their name.
        ink: colour of the words around the cells.
    """
    lines = _lines(comparison)
    figure = go.Figure(
        go.Heatmap(
            z=[[_shade(cell) for cell in cells] for _, cells in lines],
            x=[_title(row, truth) for row in _ROWS],
            y=[name for name, _ in lines],
            text=[[_words(cell) for cell in cells] for _, cells in lines],
            hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
            hoverongaps=False,
            colorscale=_SCALE,
            zmin=0,
            zmax=1,
            xgap=3,
            ygap=3,
            showscale=False,
        )
    )
    _add_numbers(figure, lines, [_title(row, truth) for row in _ROWS], ink)
    figure.update_layout(
        height=70 + 44 * len(lines),
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


_Cell = tuple[float | None, float | None]
"""A probability and the threshold that it stands against."""


def _lines(comparison: cz.Comparison) -> list[tuple[str, list[_Cell]]]:
    """Cells of each variant, and under several those of their mean."""
    short = short_names(comparison.models())
    lines: list[tuple[str, list[_Cell]]] = [
        (
            short[model],
            [(comparison.probabilities(r)[m], comparison.thresholds(r)[m]) for r in _ROWS],
        )
        for m, model in enumerate(comparison.models())
    ]
    if len(lines) > 1:
        lines.append((mean_name(comparison), [(comparison.mean(row), None) for row in _ROWS]))
    return lines


def _add_numbers(
    figure: go.Figure, lines: list[tuple[str, list[_Cell]]], titles: list[str], ink: str
) -> None:
    """The number of every cell, in the colour that its ground needs."""
    cells = [
        (title, name, cell) for name, own in lines for title, cell in zip(titles, own, strict=True)
    ]
    figure.add_scatter(
        x=[x for x, _, _ in cells],
        y=[y for _, y, _ in cells],
        mode="text",
        text=[_number(cell) for _, _, cell in cells],
        textfont={"size": 12, "color": [_on_cell(cell, ink) for _, _, cell in cells]},
        hoverinfo="skip",
    )


def _shade(cell: _Cell) -> float | None:
    """Place on the scale: 0 for 0, 1 for 1, a step at the threshold."""
    value, threshold = cell
    if value is None or threshold is None:
        return None
    if value < threshold:
        return _UNDER * value / threshold
    return _OVER + (1 - _OVER) * (value - threshold) / max(1 - threshold, 1e-9)


def _on_cell(cell: _Cell, ink: str) -> str:
    """White on Cividis' dark half, black on its light half."""
    shade = _shade(cell)
    if shade is None:
        return ink
    return "#ffffff" if shade <= _UNDER else "#000000"


def _number(cell: _Cell) -> str:
    value, threshold = cell
    if value is None:
        return "–"
    return f"{value:.2f}" + ("*" if threshold is not None and value >= threshold else "")


def _words(cell: _Cell) -> str:
    value, threshold = cell
    if value is None:
        return "not scored"
    if threshold is None:
        return f"{value:.3f}, no threshold"
    side = "at or over" if value >= threshold else "under"
    return f"{value:.3f}, {side} its threshold of {threshold:.3f}"


def _title(row: str, truth: Mapping[str, int]) -> str:
    name = "Patient" if row == cz.PATIENT_OVERALL else row
    return f"{name} ◆" if truth.get(row) else name
