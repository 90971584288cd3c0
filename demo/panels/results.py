"""What the variants say: in sentences, along the spine, as a table, as a heat map, in seconds."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

import cspine_zoo as cz
from figures.heatmap import heatmap_figure
from figures.spine import SpineContent, spine_figure
from figures.timings import timings_figure
from layout import spine_layout
from markup import show_notices, variant_lines
from palette import ink, variant_colours
from panels.run import catalogue
from peaks import Peak
from pointing import boldest, level_of, strongest_point
from state import Study, point_crosshair, visit
from tables import probability_rows, timing_rows
from verdict import (
    agreement_sentence,
    headline,
    mean_name,
    mean_sentence,
    sentence,
    truth_sentence,
)

PLOT_CONFIG = {"displayModeBar": False}


def colours_of(comparison: cz.Comparison) -> dict[str, str]:
    """The colour of each variant, the same in every plot of the page."""
    return variant_colours(comparison.models(), catalogue())


def page_ink() -> str:
    """The colour of words in figures under the theme that this browser shows."""
    return ink(st.context.theme.type == "dark")


def show_verdict_and_picture() -> None:
    """The part above the fold; before a run, what to expect."""
    memory = visit()
    if memory.study is None or memory.comparison is None:
        _show_invitation()
        return
    study, comparison = memory.study, memory.comparison
    colours = colours_of(comparison)
    st.subheader(headline(comparison), anchor=False)
    lines = {name: (colours[name], sentence(comparison, name)) for name in comparison.models()}
    if len(lines) > 1:
        lines[mean_name(comparison).capitalize()] = ("", mean_sentence(comparison))
    st.html(variant_lines(lines, truth_sentence(study.truth)))
    told = study.ct.report.warnings
    show_notices([notice for notice in comparison.study.warnings if notice not in told])
    content = SpineContent(
        comparison=comparison,
        layout=spine_layout(comparison, study.ct.geometry),
        image=memory.picture,
        colours=colours,
        truth=study.truth,
        ink=page_ink(),
    )
    st.plotly_chart(
        spine_figure(content),
        key="spine",
        on_select=_jump,
        selection_mode="points",
        config=PLOT_CONFIG,
        alt=headline(comparison),
    )
    st.caption(_how_to_read(study))
    st.segmented_control(
        "Take the three planes to",
        [v.level for v in comparison.predictions[0].vertebrae if v.found],
        key="go",
        on_change=_go,
    )


def _show_invitation() -> None:
    st.subheader("Several models, one neck, side by side", anchor=False)
    st.markdown(
        "Choose a study and two or more variants, then **Run**. One segmentation finds C1 to C7; "
        "every variant scores the same seven vertebrae. The comparison stands along the spine: "
        "the sagittal slice, and beside each vertebra one bar a variant with its own threshold. "
        "Levels at which the variants disagree are shaded."
    )


def _how_to_read(study: Study) -> str:
    parts = [
        "Bars: probability of a fracture; upright tick: the variant's own threshold; grey row: "
        "variants disagree. The slice follows the middle of the vertebrae. A click on a bar takes "
        "the three planes below to that vertebra's strongest slice."
    ]
    if study.truth:
        parts.append("◆ fracture, ◇ no fracture.")
    return " ".join(parts)


def _jump() -> None:
    """Take the planes to the strongest slice of the vertebra whose bar was clicked."""
    points = st.session_state["spine"].selection.points
    if points:
        _take_planes_to(*points[0]["customdata"][:2])


def _go() -> None:
    """The same for those who do not click: by the variant that gives the level most."""
    level, comparison = st.session_state["go"], visit().comparison
    if level is not None and comparison is not None:
        _take_planes_to(level, boldest(comparison, level))


def _take_planes_to(row: str, model: str) -> None:
    memory = visit()
    if memory.study is None or memory.comparison is None:
        return
    place = strongest_point(memory.comparison, row, model)
    if place is not None:
        point_crosshair(memory.study.ct, place)
        st.toast(f"The three planes show {level_of(memory.comparison, row, model)}.")


def show_numbers() -> None:
    """Agreement and table, heat map, timings."""
    memory = visit()
    comparison = memory.comparison
    if memory.study is None or comparison is None:
        return
    truth: Mapping[str, int] = memory.study.truth
    several = len(comparison.models()) > 1
    st.subheader("Numbers", anchor=False)
    if several:
        st.markdown(agreement_sentence(comparison))
    st.table(probability_rows(comparison, truth), border="horizontal", hide_index=True)
    told = "Each probability stands beside its variant's own threshold, bold at or over it."
    if several:
        told += (
            " Mean: of the variants' probabilities, all alike; it has no threshold, for nobody has "
            "chosen one for it. Difference: largest minus smallest. Closest call: how far the "
            "variant that is nearest to its own threshold is over (+) or under it (−)."
        )
    st.caption(told)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Variant × level", anchor=False)
        st.plotly_chart(
            heatmap_figure(comparison, truth, page_ink()),
            key="heatmap",
            config=PLOT_CONFIG,
            alt="Probabilities of the table as colours",
        )
        st.caption(
            "Yellow and star: at or over the variant's own threshold, the brighter the further; "
            "blue: under it, the darker the further."
        )
    with right:
        _show_seconds(comparison, memory.case.peaks)


def _show_seconds(comparison: cz.Comparison, peaks: Mapping[str, Peak]) -> None:
    st.subheader("Seconds and memory", anchor=False)
    st.plotly_chart(
        timings_figure(comparison, colours_of(comparison), page_ink()),
        key="timings",
        config=PLOT_CONFIG,
        alt="Seconds of the table below as bars",
    )
    st.table(timing_rows(comparison, peaks), border="horizontal", hide_index=True)
    told = "Grey stages are shared: done once, whatever the number of variants."
    if peaks:
        told += " Memory: the most that the process held during a stage, models included."
    st.caption(told)
