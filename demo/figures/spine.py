"""The picture: the sagittal slice, and beside each vertebra what every variant says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import plotly.graph_objects as go

import cspine_zoo as cz
from layout import PITCH_MM, SpineLayout
from palette import NEUTRAL, shade

# The figure from left to right, as parts of its width.
_IMAGE_END: Final = 0.33
_BARS: Final = (0.43, 1.0)
_NUMBERS_END: Final = 1.17
"""Rows end beyond 1, where the number of a full bar stands."""
_NUMBER: Final = 0.16
"""Room of a number on the axis of probability, on a narrow screen."""
_TRUTH_X: Final = 1.25
_X_END: Final = 1.31
_TRUTH_HEAD: Final = {
    "text": "truth",
    "x": _TRUTH_X,
    "y": 1,
    "xref": "x",
    "yref": "paper",
    "yanchor": "bottom",
    "showarrow": False,
    "font": {"size": 12},
}

_ROW_PX: Final = 39
"""Of a row's bars together: with more than three variants they get thinner, down to 10 px."""
_BARS_MM: Final = PITCH_MM - 1.5
_TOP_PX: Final = 26
_PATIENT_ROW_PX: Final = 26
_PATIENT_HALF: Final = 0.62
"""Half the height of the patient's row, in units of its bars together."""


@dataclass(frozen=True)
class SpineContent:
    """What the picture shows.

    Attributes:
        comparison: one or more variants on one study.
        layout: heights of the rows.
        image: sagittal cut as a data URI, as high as the layout asks.
        colours: one a variant.
        truth: 1 for a fracture, 0 for none, by row; empty where nothing is known.
        ink: colour of words and ticks.
    """

    comparison: cz.Comparison
    layout: SpineLayout
    image: str
    colours: Mapping[str, str]
    truth: Mapping[str, int] = field(default_factory=dict)
    ink: str = NEUTRAL


@dataclass(frozen=True)
class _Lane:
    """One bar: its variant, and where in its row it stands, as a shift of its centre."""

    model: str
    colour: str
    shift: float
    width: float


def spine_figure(content: SpineContent) -> go.Figure:
    """Sagittal slice left; right of it one bar a variant at the height of each vertebra.

    Bars end in their number, a tick is the variant's own threshold, rows where the variants
    disagree are shaded, and where the truth is known a diamond tells it. Points carry the level
    as ``customdata``.
    """
    models = content.comparison.models()
    bars_px = len(models) * min(13, max(10, _ROW_PX // len(models)))
    patient_px = _PATIENT_ROW_PX + bars_px
    spine_px = content.layout.height_mm * max(3.5, bars_px / _BARS_MM)
    height = spine_px + patient_px + _TOP_PX
    split = patient_px / (patient_px + spine_px)
    figure = go.Figure()
    marks = _marks(content)
    for axis, names, places in _groups(content):
        unit = _BARS_MM if axis == "y" else 1.0
        for lane in _lanes(models, content.colours, unit):
            _add_bars(figure, content, lane, (axis, names, places))
    if content.truth:
        _add_truth(figure, content)
    _set_axes(figure, content, split)
    figure.update_layout(
        height=round(height),
        images=[_image(content)],
        shapes=marks.shapes,
        annotations=marks.notes,
        font={"color": content.ink},
        margin={"l": 0, "r": 0, "t": _TOP_PX, "b": 0},
        showlegend=False,
        bargap=0,
        barmode="overlay",
        dragmode=False,
        clickmode="event+select",
        hoverlabel={"align": "left"},
    )
    return figure


def _groups(content: SpineContent) -> list[tuple[str, list[str], list[float]]]:
    rows = content.layout.rows
    return [
        ("y", [row.level for row in rows], [row.row_mm for row in rows]),
        ("y2", [cz.PATIENT_OVERALL], [0.0]),
    ]


def _lanes(models: Sequence[str], colours: Mapping[str, str], unit: float) -> list[_Lane]:
    """The first variant on top of its row."""
    width = unit / len(models)
    return [
        _Lane(model, colours[model], ((len(models) - 1) / 2 - place) * width, width * 0.84)
        for place, model in enumerate(models)
    ]


def _add_bars(
    figure: go.Figure,
    content: SpineContent,
    lane: _Lane,
    group: tuple[str, list[str], list[float]],
) -> None:
    axis, names, places = group
    comparison = content.comparison
    index = comparison.models().index(lane.model)
    values = [comparison.probabilities(name)[index] for name in names]
    thresholds = [comparison.thresholds(name)[index] for name in names]
    heights = [place + lane.shift for place in places]
    figure.add_bar(
        orientation="h",
        name=lane.model,
        x=[value or 0.0 for value in values],
        y=heights,
        width=lane.width,
        marker={"color": lane.colour, "line": {"width": 0}},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=[[name, lane.model] for name in names],
        hovertext=[
            _hover(name, lane.model, value, threshold)
            for name, value, threshold in zip(names, values, thresholds, strict=True)
        ],
        hoverinfo="text",
        yaxis=axis,
    )
    known = [
        (height, threshold, value)
        for height, threshold, value in zip(heights, thresholds, values, strict=True)
        if value is not None
    ]
    _add_thresholds(figure, lane, known, (axis, content.ink))
    _add_numbers(figure, lane, known, (axis, content.ink))


def _add_thresholds(
    figure: go.Figure,
    lane: _Lane,
    known: Sequence[tuple[float, float, float]],
    style: tuple[str, str],
) -> None:
    """An upright tick through each bar, at the variant's own threshold."""
    axis, colour = style
    x: list[float | None] = []
    y: list[float | None] = []
    for height, threshold, _ in known:
        x += [threshold, threshold, None]
        y += [height - lane.width * 0.58, height + lane.width * 0.58, None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colour, "width": 2},
        hoverinfo="skip",
        name=f"threshold of {lane.model}",
        yaxis=axis,
    )


def _add_numbers(
    figure: go.Figure,
    lane: _Lane,
    known: Sequence[tuple[float, float, float]],
    style: tuple[str, str],
) -> None:
    """The number behind the end of each bar, and behind a threshold that stands just there."""
    axis, colour = style
    figure.add_scatter(
        x=[limit if value <= limit < value + _NUMBER else value for _, limit, value in known],
        y=[height for height, _, _ in known],
        mode="text",
        # The space keeps the digits off the bar and off the tick, whatever the figure's width.
        text=[f"\N{NO-BREAK SPACE}{value:.2f}" for _, _, value in known],
        textposition="middle right",
        textfont={"size": 11, "color": colour},
        cliponaxis=False,
        hoverinfo="skip",
        name=f"numbers of {lane.model}",
        yaxis=axis,
    )


def _hover(row: str, model: str, value: float | None, threshold: float) -> str:
    if value is None:
        return f"{model}<br>{_title(row)}: not scored"
    side = "at or over" if value >= threshold else "under"
    return f"{model}<br>{_title(row)}: <b>{value:.3f}</b>, {side} its threshold of {threshold:.2f}"


def _title(row: str) -> str:
    return "Patient, any fracture" if row == cz.PATIENT_OVERALL else row


@dataclass
class _Marks:
    """Shapes and words, given to the figure at once: it checks all of them at each adding."""

    shapes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def say(self, text: str, place: tuple[float, float], anchor: str, axis: str = "y") -> None:
        """Words at a part of the figure's width and a height of an axis."""
        self.notes.append(
            {
                "text": text,
                "x": place[0],
                "y": place[1],
                "xref": "paper",
                "yref": axis,
                "xanchor": anchor,
                "yanchor": "middle",
                "showarrow": False,
                "font": {"size": 13},
            }
        )

    def say_on_image(self, text: str, place: tuple[float, float], anchor: str) -> None:
        """White words on a shade, readable on bone as on air."""
        self.say(text, place, anchor)
        self.notes[-1] |= {
            "font": {"size": 13, "color": "white"},
            "bgcolor": "rgba(0,0,0,0.45)",
        }

    def line(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """A hair line between parts of the width at heights of the patient."""
        self.shapes.append(
            {
                "type": "line",
                "xref": "paper",
                "yref": "y",
                "x0": start[0],
                "y0": start[1],
                "x1": stop[0],
                "y1": stop[1],
                "line": {"color": NEUTRAL, "width": 1},
            }
        )

    def band(self, row: tuple[float, float], axis: str, disagree: bool) -> None:
        """The ground of a row's bars (middle and half height), darker where variants disagree."""
        self.shapes.append(
            {
                "type": "rect",
                "xref": "x",
                "yref": axis,
                "x0": 0,
                "x1": _NUMBERS_END if disagree else 1,
                "y0": row[0] - row[1],
                "y1": row[0] + row[1],
                "fillcolor": shade(NEUTRAL, 0.24 if disagree else 0.06),
                "line": {"width": 0},
                "layer": "below",
                "name": "disagree" if disagree else "rail",
            }
        )


def _image(content: SpineContent) -> dict[str, Any]:
    strip = content.layout.strip
    return {
        "source": content.image,
        "xref": "paper",
        "yref": "y",
        "x": _IMAGE_END / 2,
        "y": strip.top_mm,
        "sizex": _IMAGE_END,
        "sizey": content.layout.height_mm,
        "xanchor": "center",
        # "fill" keeps the proportions and the height and cuts what is too wide: heights of
        # picture and bars agree on a telephone as on a wide screen.
        "sizing": "fill",
        "layer": "below",
    }


def _marks(content: SpineContent) -> _Marks:
    """Everything around the bars: letters, leaders, names of rows, shades of disagreement."""
    marks = _Marks()
    strip = content.layout.strip
    middle = (strip.top_mm + strip.bottom_mm) / 2
    marks.say_on_image("A", (0.006, middle), "left")
    marks.say_on_image("P", (_IMAGE_END - 0.006, middle), "right")
    marks.say_on_image("S", (_IMAGE_END / 2, strip.top_mm - 4), "center")
    marks.say_on_image("I", (_IMAGE_END / 2, strip.bottom_mm + 4), "center")
    for axis, names, places in _groups(content):
        half = PITCH_MM / 2 - 0.3 if axis == "y" else _PATIENT_HALF
        for name, place in zip(names, places, strict=True):
            marks.band((place, half), axis, content.comparison.agree(name) is False)
            short = name if axis == "y" else "Patient"
            marks.say(f"<b>{short}</b>", (_BARS[0] - 0.012, place), "right", axis)
    for row in content.layout.rows:
        if row.centre_mm is None:
            marks.say("not found: not scored", (_BARS[0] + 0.01, row.row_mm), "left")
            continue
        elbow = (_IMAGE_END + 0.012, row.centre_mm)
        marks.line((_IMAGE_END - 0.015, row.centre_mm), elbow)
        marks.line(elbow, (_IMAGE_END + 0.025, row.row_mm))
    if content.truth:
        marks.notes.append(_TRUTH_HEAD)
    return marks


def _add_truth(figure: go.Figure, content: SpineContent) -> None:
    """A full diamond at a known fracture, an empty one where there is none."""
    for axis, names, places in _groups(content):
        known = [(n, place) for n, place in zip(names, places, strict=True) if n in content.truth]
        broken = [bool(content.truth[name]) for name, _ in known]
        figure.add_scatter(
            x=[_TRUTH_X] * len(known),
            y=[place for _, place in known],
            mode="markers",
            marker={
                "symbol": ["diamond" if is_broken else "diamond-open" for is_broken in broken],
                "size": 11,
                "color": content.ink,
                "line": {"width": 1, "color": content.ink},
            },
            hovertext=["known fracture" if is_broken else "no fracture" for is_broken in broken],
            hoverinfo="text",
            name="truth",
            yaxis=axis,
        )


def _set_axes(figure: go.Figure, content: SpineContent, split: float) -> None:
    strip = content.layout.strip
    figure.update_xaxes(
        domain=_BARS,
        range=[0, _X_END],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        ticktext=["0", "", "0.5", "", "1"],
        tickfont={"color": content.ink},
        side="top",
        anchor="y",
        showgrid=True,
        gridcolor=shade(NEUTRAL, 0.25),
        zeroline=False,
        fixedrange=True,
        ticks="",
    )
    hidden: dict[str, Any] = {
        "showgrid": False,
        "zeroline": False,
        "showticklabels": False,
        "fixedrange": True,
        "ticks": "",
    }
    figure.update_layout(
        yaxis={
            **hidden,
            "domain": [split, 1],
            "range": [strip.bottom_mm, strip.top_mm],
            "anchor": "x",
        },
        yaxis2={
            **hidden,
            "domain": [0, split * 0.93],
            "range": [-_PATIENT_HALF, _PATIENT_HALF],
            "anchor": "x",
        },
    )
