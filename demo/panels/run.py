"""Which variants, and the run itself."""

from __future__ import annotations

from typing import Final

import streamlit as st

import cspine_zoo as cz
import work
from cases import Case
from figures.timings import STAGE_TITLES
from layout import spine_layout
from markup import show_failure, show_notices
from own import TASK
from panels.link import show_link
from panels.localizer import choose_localizer
from panels.weights import VARIANTS, own_weights, settle_own_weights, show_own_weights
from pointing import boldest, most_suspicious, strongest_point
from state import Study, Visit, engine, point_crosshair, visit
from viewer import Look, data_uri, strip_jpeg

HERE: Final = ("bundled", "cached")
"""States of a row whose weights need no network."""


def catalogue() -> list[str]:
    """Every classifier of the zoo that has weights, those at hand first."""
    rows = [row for row in cz.list_models(task=TASK) if row.available != "none"]
    return [row.name for row in sorted(rows, key=lambda row: row.available not in HERE)]


def show_run() -> None:
    """Choice of variants, Run, and progress by stage."""
    memory = visit()
    _place_result(memory)
    st.subheader("Variants", anchor=False)
    chosen = _choose()
    show_own_weights()
    localizer = choose_localizer()
    if len(chosen) == 1:
        st.caption("One variant alone has nothing to be compared with; choose two or more.")
    st.button(
        "Run",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=memory.case.run is not None or memory.study is None or not chosen,
        on_click=_start,
        args=(memory, chosen, localizer),
    )
    _show_outcome(memory, chosen)
    show_link(memory)


def _choose() -> list[str]:
    """Models of the zoo, and what this session brought."""
    settle_own_weights()
    states = {row.name: row.available for row in cz.list_models(task=TASK)}
    zoo, own = catalogue(), own_weights()
    here = [name for name in zoo if states[name] in HERE]
    if not zoo:
        st.info(
            "No classifier of this zoo has weights here. The page “Models” says how to get them."
        )
    if not zoo and not own:
        return []
    names = [*zoo, *own]
    st.session_state[VARIANTS] = [n for n in st.session_state.get(VARIANTS, here) if n in names]
    chosen: list[str] = st.multiselect(
        "Variants to compare",
        names,
        format_func=lambda name: name if name in (*here, *own) else f"{name} (to be downloaded)",
        key=VARIANTS,
        persist_state="session",
        label_visibility="collapsed",
        placeholder="Choose two or more",
        wrap=True,
    )
    return chosen


def _show_outcome(memory: Visit, chosen: list[str]) -> None:
    case = memory.case
    if case.run is not None:
        _watch_run()
    elif case.run_failure is not None:
        show_failure(case.run_failure)
    elif case.comparison is not None and set(case.comparison.models()) != set(chosen):
        st.caption("The result is of the variants that ran. Run again for this choice.")
    show_notices(case.remarks)


def _start(memory: Visit, names: list[str], localizer: str | None) -> None:
    study = memory.study
    if study is None:
        return
    own = own_weights()
    variants = tuple(own.get(name, name) for name in names)
    ticket = engine().running.submit(work.compare, study.shared, variants, localizer)
    # A case of its own: who follows the link of the last run keeps seeing that one.
    case = Case(linked=True, study=study, run=ticket)
    memory.take(case)
    memory.placed = case.key


def _place_result(memory: Visit) -> None:
    """The first time that this session sees a result: picture, planes and attention."""
    case = memory.case
    if case.study is None or case.comparison is None or memory.placed == f"{case.key} result":
        return
    case.picture = case.picture or _picture(case.study, case.comparison)
    _point_at(case.study, case.comparison)
    memory.placed = f"{case.key} result"


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
    case = visit().case
    ticket = case.run
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
        case.run = None
        st.rerun()
