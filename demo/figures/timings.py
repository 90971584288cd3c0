"""Where the seconds went."""

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go

import cspine_zoo as cz
from palette import NEUTRAL, on, shade
from verdict import short_names

STAGE_TITLES: Final = {
    "load": "Loading models",
    "prepare": "Preparing",
    "segment": "Finding the vertebrae",
    "classify": "Scoring the vertebrae",
}

# Stages that variants share are grey, the variant's own stage has its colour.
_SHARED: Final = {"read": 0.85, "prepare": 0.35, "segment": 0.6}


def timings_figure(comparison: cz.Comparison, colours: Mapping[str, str], ink: str) -> go.Figure:
    """Seconds by stage as one stacked bar a variant.

    Args:
        comparison: one or more variants on one study.
        colours: one a variant.
        ink: colour of the words around the bars.
    """
    models = list(comparison.models())
    short = short_names(models)
    seconds = [prediction.seconds for prediction in comparison.predictions]
    figure = go.Figure()
    for stage in (*_SHARED, "classify"):
        values = [float(getattr(second, stage)) for second in seconds]
        fill = (
            [colours[model] for model in models]
            if stage == "classify"
            else shade(NEUTRAL, _SHARED[stage])
        )
        figure.add_bar(
            orientation="h",
            name=stage,
            x=values,
            y=[short[model] for model in models],
            text=[f"{stage} {value:.1f} s" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={
                "color": [on(colours[model]) for model in models] if stage == "classify" else ink
            },
            marker={"color": fill, "line": {"width": 0}},
            hovertemplate="%{y}<br>%{text}<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=60 + 40 * len(models),
        font={"color": ink},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        showlegend=False,
        dragmode=False,
        bargap=0.25,
        uniformtext={"minsize": 9, "mode": "hide"},
    )
    figure.update_xaxes(
        fixedrange=True,
        tickfont={"color": ink},
        ticksuffix=" s",
        rangemode="tozero",
        zeroline=False,
    )
    figure.update_yaxes(
        fixedrange=True, tickfont={"color": ink}, autorange="reversed", automargin=True
    )
    return figure
