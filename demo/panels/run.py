"""Which variants, and the run itself."""

from __future__ import annotations

from typing import Final

import streamlit as st

import cspine_zoo as cz
from figures.timings import STAGE_TITLES
from jobs import Failure, Report
from layout import spine_layout
from markup import show_failure
from pointing import boldest, most_suspicious, strongest_point
from state import Study, Visit, engine, point_crosshair, visit
from viewer import Look, data_uri, strip_jpeg

TASK: Final = "fracture-classification"
HERE: Final = ("bundled", "cached")
"""States of a row whose weights need no network."""


def catalogue() -> list[str]:
    """Every classifier of the zoo that has weights, those at hand first."""
    rows = [row for row in cz.list_models(task=TASK) if row.available != "none"]
    return [row.name for row in sorted(rows, key=lambda row: row.available not in HERE)]


def show_run() -> None:
    """Choice of variants, Run, and progress by stage."""
    memory = visit()
    _take_result(memory)
    st.subheader("Variants", anchor=False)
    states = {row.name: row.available for row in cz.list_models(task=TASK)}
    names = catalogue()
    if not names:
        st.info(
            "No classifier of this zoo has weights here. The page “Models” says how to get them."
        )
        return
    chosen = st.multiselect(
        "Variants to compare",
        names,
        default=[name for name in names if states[name] in HERE],
        format_func=lambda name: name if states[name] in HERE else f"{name} (to be downloaded)",
        key="variants",
        persist_state="session",
        label_visibility="collapsed",
        placeholder="Choose two or more",
        wrap=True,
    )
    if len(chosen) == 1:
        st.caption("One variant alone has nothing to be compared with; choose two or more.")
    st.button(
        "Run",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=memory.run is not None or memory.study is None or not chosen,
        on_click=_start,
        args=(memory, chosen),
    )
    if memory.run is not None:
        _watch_run()
    elif memory.run_failure is not None:
        show_failure(memory.run_failure)
    elif memory.comparison is not None and set(memory.comparison.models()) != set(chosen):
        st.caption("The result is of the variants that ran. Run again for this choice.")


def _start(memory: Visit, names: list[str]) -> None:
    study = memory.study
    if study is None:
        return
    memory.forget_result()
    ct = study.ct

    def run(report: Report) -> cz.Comparison:
        return cz.compare(ct, names, progress=report)

    memory.run = engine().running.submit(run)


def _take_result(memory: Visit) -> None:
    ticket = memory.run
    if ticket is None or not ticket.over:
        return
    memory.run = None
    if ticket.state == "done" and memory.study is not None:
        memory.comparison = ticket.result
        memory.picture = _picture(memory.study, ticket.result)
        _point_at(memory.study, ticket.result)
    elif ticket.state == "failed":
        memory.run_failure = ticket.progress.failure or Failure("failed", "The run failed.")


def _point_at(study: Study, comparison: cz.Comparison) -> None:
    """Planes and attention open at the place that most deserves a look."""
    level = most_suspicious(comparison)
    st.session_state["attention_level"] = level
    place = strongest_point(comparison, level, boldest(comparison, level))
    if place is not None:
        point_crosshair(study.ct, place)


def _picture(study: Study, comparison: cz.Comparison) -> str:
    """The sagittal cut beside the bars: drawn once a run, whatever is clicked afterwards."""
    labels = comparison.label_map.labels if comparison.label_map else None
    strip = spine_layout(comparison, study.ct.geometry).strip
    return data_uri(strip_jpeg(study.ct, labels, strip, Look()))


@st.fragment(run_every=0.5)
def _watch_run() -> None:
    memory = visit()
    ticket = memory.run
    if ticket is None or ticket.over:
        st.rerun()
        return
    if ticket.state == "queued":
        ahead = engine().running.ahead(ticket)
        st.status(f"Waiting: {ahead} before you" if ahead else "Starting")
    else:
        stages = list(ticket.progress.stages.items())
        now = stages[-1][0] if stages else "load"
        title = STAGE_TITLES.get(now, now)
        # Not as a context: leaving it would mark the run as complete.
        status = st.status(f"{title} … {ticket.progress.seconds:.0f} s", expanded=True)
        for stage, fraction in stages:
            status.progress(fraction, text=STAGE_TITLES.get(stage, stage))
    if st.button("Cancel", icon=":material/close:", width="stretch", key="cancel"):
        ticket.cancel()
        memory.run = None
        st.rerun()
