"""How much each slice of a vertebra counts, variant by variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

import cspine_zoo as cz
from palette import NEUTRAL
from verdict import short_names

_ROW_PX: Final = 92


@dataclass(frozen=True)
class SliceBar:
    """One bar of the strip."""

    level: str
    position_mm: float
    weight: float | None
    probability: float | None


def slice_bars(comparison: cz.Comparison, model: str, levels: Sequence[str]) -> list[SliceBar]:
    """The slices that one variant looked at, from the head down."""
    prediction = comparison.predictions[comparison.models().index(model)]
    return [
        SliceBar(level, score.position_mm, score.weight, score.probability)
        for level in levels
        for score in sorted(prediction.vertebra(level).slices, key=lambda score: -score.position_mm)
    ]


def attention_figure(
    comparison: cz.Comparison, levels: Sequence[str], colours: Mapping[str, str], ink: str
) -> go.Figure:
    """One strip a variant over the same slices; points carry level and height as ``customdata``.

    The height of a bar is the slice's share in the vertebra's score, a ring is the slice's own
    probability where the variant gives one. Variants without shares show their probability as
    the bar.

    Args:
        comparison: one or more variants on one study.
        levels: levels to show, from the head down.
        colours: one a variant.
        ink: colour of words and rings.
    """
    models = comparison.models()
    figure = go.Figure()
    gap = 0.34 / max(1, len(models))
    for place, model in enumerate(models):
        bars = slice_bars(comparison, model, levels)
        axis = "y" if place == 0 else f"y{place + 1}"
        top = 1 - place / len(models)
        _add_strip(figure, (model, colours[model], axis), bars, ink)
        figure.update_layout(
            {
                f"yaxis{axis[1:]}": {
                    "domain": [top - 1 / len(models), top - gap],
                    "range": [0, _ceiling(bars)],
                    "fixedrange": True,
                    "tickformat": ".0%",
                    "nticks": 3,
                    "zeroline": False,
                }
            }
        )
        _name_strip(figure, short_names(models)[model], top - gap, bool(bars))
    _set_axes(figure, comparison, levels)
    figure.update_xaxes(tickfont={"color": ink}).update_yaxes(tickfont={"color": ink})
    figure.update_layout(
        font={"color": ink},
        height=round(_ROW_PX * len(models) + 48),
        margin={"l": 0, "r": 0, "t": 0, "b": 44},
        showlegend=False,
        bargap=0.18,
        dragmode=False,
        clickmode="event+select",
    )
    return figure


def _add_strip(
    figure: go.Figure, variant: tuple[str, str, str], bars: Sequence[SliceBar], ink: str
) -> None:
    model, colour, axis = variant
    weighted = any(bar.weight is not None for bar in bars)
    heights = [bar.weight if weighted else bar.probability for bar in bars]
    data = [[bar.level, bar.position_mm, model] for bar in bars]
    steady: dict[str, Any] = {
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
    }
    figure.add_bar(
        name=model,
        x=list(range(len(bars))),
        y=[height or 0.0 for height in heights],
        marker={"color": colour, "line": {"width": 0}},
        customdata=data,
        hovertext=[_hover(model, bar) for bar in bars],
        hoverinfo="text",
        yaxis=axis,
        **steady,
    )
    if not weighted:
        return
    figure.add_scatter(
        name=f"probability, {model}",
        x=[i for i, bar in enumerate(bars) if bar.probability is not None],
        # Both are told in per cent; a probability is drawn on the height of the strip.
        y=[bar.probability * _ceiling(bars) * 0.96 for bar in bars if bar.probability is not None],
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 7,
            "color": ink,
            "line": {"width": 1.5},
        },
        customdata=[
            row for row, bar in zip(data, bars, strict=True) if bar.probability is not None
        ],
        hovertext=[_hover(model, bar) for bar in bars if bar.probability is not None],
        hoverinfo="text",
        yaxis=axis,
        **steady,
    )


def _hover(model: str, bar: SliceBar) -> str:
    share = "" if bar.weight is None else f"<br>share in the score: {bar.weight:.1%}"
    own = "" if bar.probability is None else f"<br>probability of the slice: {bar.probability:.3f}"
    return f"{model}<br>{bar.level}, z = {bar.position_mm:.1f} mm{share}{own}"


def _ceiling(bars: Sequence[SliceBar]) -> float:
    shares = [bar.weight for bar in bars if bar.weight is not None]
    return max(0.02, 1.12 * max(shares)) if shares else 1.0


def _name_strip(figure: go.Figure, model: str, top: float, known: bool) -> None:
    figure.add_annotation(
        text=f"<b>{model}</b>" + ("" if known else ": no slices were scored"),
        x=0,
        y=top,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 12},
    )


def _set_axes(figure: go.Figure, comparison: cz.Comparison, levels: Sequence[str]) -> None:
    """Ticks of the shared slices: heights for one level, names of levels for several."""
    longest = max((slice_bars(comparison, model, levels) for model in comparison.models()), key=len)
    if len(levels) == 1:
        step = max(1, len(longest) // 6)
        places = list(range(0, len(longest), step))
        texts = [f"{longest[place].position_mm:.0f}" for place in places]
        title = "height of the slice, z in mm (left: towards the head)"
    else:
        starts = [next((i for i, b in enumerate(longest) if b.level == x), None) for x in levels]
        counts = [sum(bar.level == level for bar in longest) for level in levels]
        known = [(s, c, x) for s, c, x in zip(starts, counts, levels, strict=True) if s is not None]
        places = [start + (count - 1) // 2 for start, count, _ in known]
        texts = [level for _, _, level in known]
        title = "slices of each vertebra (left: towards the head)"
        for start, _, _ in known[1:]:
            figure.add_vline(start - 0.5, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    figure.update_xaxes(
        tickvals=places,
        ticktext=texts,
        title={"text": title, "font": {"size": 12}},
        range=[-0.6, max(1, len(longest)) - 0.4],
        fixedrange=True,
        showgrid=False,
        zeroline=False,
        anchor=f"y{len(comparison.models())}" if len(comparison.models()) > 1 else "y",
    )
