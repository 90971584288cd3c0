"""What models say about places: regions that a localizer found, and Grad-CAM on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

import streamlit as st

import cspine_zoo as cz
from heat import RAMPS, Kind, Layer, Region
from markup import show_failure
from own import row_name
from panels.weights import own_weights
from pointing import boldest, most_suspicious, peak_mm
from sensitivity import Answers, Memory, Question, explain
from state import engine, point_crosshair, visit

_MEANING: Final = (
    "Grad-CAM of {model} for {level}: where features that raise this variant's score lie, on the "
    "slices that it saw. It shows where the score is **sensitive, not proof** of a fracture, nor "
    "that the variant reasons soundly. 1 is the most sensitive place of this vertebra, so maps of "
    "different variants or vertebrae compare in place, not in height. The map has cells of "
    "{cell:.0f} mm and shows nothing finer."
)
_NOWHERE: Final = "Nothing in {level} raises the score of {model}: its map is empty."


def heat_layer(comparison: cz.Comparison, opacity: float) -> Layer:
    """What a localizer saw in every vertebra."""
    regions = [Region(heat.probabilities, heat.geometry) for heat in comparison.heat]
    name = f"heat of {comparison.predictions[0].localizer}"
    return Layer(name, "fracture", regions, opacity)


def show_findings(comparison: cz.Comparison) -> None:
    """Regions over the localizer's threshold; nothing at all if none ran."""
    first = comparison.predictions[0]
    if first.localizer is None:
        return
    _show_ramp("fracture", f"score of a fracture here by {first.localizer}, not calibrated")
    if not first.findings:
        st.caption(f"{first.localizer} found no region at or over its threshold.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("Findings:", width="content")
        for number, finding in enumerate(first.findings):
            low, high = finding.box_mm
            middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
            st.button(
                f"{finding.level} {finding.score:.2f}",
                key=f"finding_{number}",
                help="Take the three planes to the middle of this box.",
                on_click=_go,
                args=(tuple(middle),),
            )


def ask_sensitivity(comparison: cz.Comparison) -> Layer | None:
    """Choice of variant and vertebra, and the map once it was asked for and is there."""
    levels = [v.level for v in comparison.predictions[0].vertebrae if v.found]
    # Files that were taken away since the run cannot be asked any more.
    own = own_weights()
    models = [m for m in comparison.models() if row_name(m) is None or m in own]
    if not levels or not models:
        return None
    answers = _answers(comparison)
    _take(answers)
    suspect = most_suspicious(comparison)
    st.markdown("**Where is a score sensitive?**")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        model = _choose("Variant to explain", models, boldest(comparison, suspect))
        level = _choose("Vertebra to explain", levels, suspect)
        question = Question(model, level)
        found = answers.known.get(question)
        if found is not None:
            return _show_map(found)
        awaited = answers.awaited
        working = awaited is not None and not awaited[1].over
        st.button(
            "Map it",
            icon=":material/blur_on:",
            key="ask",
            help="Computes Grad-CAM for this variant and vertebra: a second or two of work.",
            disabled=working,
            on_click=_ask,
            args=(question,),
        )
    if working:
        _await()
    elif awaited is not None and awaited[1].progress.failure is not None:
        show_failure(awaited[1].progress.failure)
    return None


def _choose(label: str, options: Sequence[str], default: str) -> str:
    key = label.split()[0].lower() + "_asked"
    if st.session_state.get(key) not in options:
        st.session_state[key] = default if default in options else options[0]
    chosen: str = st.selectbox(label, options, key=key, persist_state="session", width=280)
    return chosen


def _show_map(found: cz.SensitivityMap) -> Layer | None:
    shown = st.toggle("On the planes", value=True, key="sensitivity", persist_state="session")
    opacity = st.slider(
        "Sensitivity, %", 0, 100, 60, key="sensitivity_opacity", persist_state="session", width=220
    )
    peak = peak_mm(found)
    st.button(
        "Go to the peak",
        icon=":material/my_location:",
        key="peak",
        disabled=peak is None,
        on_click=_go,
        args=(peak,),
    )
    name = f"sensitivity of {found.model} in {found.level}"
    return Layer(name, "sensitivity", [found], opacity / 100) if shown else None


def show_meaning(comparison: cz.Comparison, layer: Layer) -> None:
    """What the map on the planes is, and what it is not."""
    found = next(f for f in _answers(comparison).known.values() if f is layer.regions[0])
    if not found.values.any():
        st.caption(_NOWHERE.format(model=found.model, level=found.level))
        return
    _show_ramp("sensitivity", f"sensitivity of {found.model} in {found.level}")
    cell = max(found.cell_mm)
    st.caption(_MEANING.format(model=found.model, level=found.level, cell=cell))


def _answers(comparison: cz.Comparison) -> Answers:
    memory: Memory = st.session_state.setdefault("answers", WeakKeyDictionary())
    return memory.setdefault(comparison, Answers())


# What Streamlit keeps of a widget or a fragment, it keeps beyond "delete now": no part of a scan is
# among the arguments of these.
def _ask(question: Question) -> None:
    memory = visit()
    if memory.study is None or memory.comparison is None:
        return
    variant = own_weights().get(question.model, question.model)
    ticket = engine().running.submit(
        explain, memory.study.shared, memory.comparison, variant, question.level
    )
    _answers(memory.comparison).awaited = (question, ticket)


def _go(place_mm: tuple[float, ...]) -> None:
    study = visit().study
    if study is not None:
        point_crosshair(study.ct, place_mm)


def _take(answers: Answers) -> None:
    if answers.awaited is None:
        return
    question, ticket = answers.awaited
    if ticket.state == "done":
        answers.known[question] = ticket.result
    if ticket.state in ("done", "cancelled"):
        answers.awaited = None


@st.fragment(run_every=0.3)
def _await() -> None:
    comparison = visit().comparison
    answers = Answers() if comparison is None else _answers(comparison)
    if answers.awaited is None or answers.awaited[1].over:
        st.rerun()
        return
    question, ticket = answers.awaited
    ahead = engine().running.ahead(ticket)
    wait = f"Waiting: {ahead} before you" if ahead else f"Mapping {question.level}"
    st.status(f"{wait} … {ticket.progress.seconds:.0f} s")
    if st.button("Cancel", icon=":material/close:", key="cancel_map"):
        ticket.cancel()
        answers.awaited = None
        st.rerun()


def _show_ramp(kind: Kind, meaning: str) -> None:
    """Colours of a map with the numbers that they stand for."""
    stops = ", ".join(RAMPS[kind])
    st.html(
        f'<div class="ramp"><span>0</span><span class="band" style="background-image:'
        f'linear-gradient(90deg, transparent, {stops})"></span><span>1</span>'
        f"<span>{meaning}</span></div>"
    )
