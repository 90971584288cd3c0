"""The stored benchmark of every bundled classifier, section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import cspine_zoo as cz
from figures.curves import FEW, reliability_figure, roc_figure
from figures.intervals import interval_figure
from jobs import Failure
from markup import legend, show_failure
from measured import (
    FACTS,
    Stored,
    bin_rows,
    call_rows,
    data_sentence,
    difference_rows,
    difference_sentence,
    facts_known,
    half_rows,
    half_sentence,
    halves,
    level_rows,
    missing_sentence,
    number,
    overview_rows,
)
from own import TASK
from palette import variant_colours
from panels.results import PLOT_CONFIG, page_ink
from panels.run import HERE, catalogue

_OF = {"patient": "Patients", "vertebra": "Vertebrae C1 to C7 together"}


@st.cache_resource(max_entries=64, show_spinner="Reading stored evaluations")
def _remembered(name: str, weights: str) -> cz.StoredEvaluation | None:
    """Figures are computed once a server; other weights are another evaluation."""
    return cz.stored_evaluation(name)


def gather() -> dict[str, cz.StoredEvaluation]:
    """Stored evaluations of all classifiers at hand; those without one are told."""
    found: dict[str, cz.StoredEvaluation] = {}
    without, unweighted = [], 0
    for row in cz.list_models(task=TASK):
        if row.available not in HERE:
            unweighted += 1
            continue
        try:
            own = _remembered(row.name, row.files[0].sha256 if row.files else "")
        except cz.CSpineZooError as error:
            show_failure(Failure(error.code, error.reason, error.file, error.hint))
            continue
        if own is None:
            without.append(row.name)
        else:
            found[row.name] = own
    _tell_missing(without, unweighted)
    return found


def _tell_missing(without: Sequence[str], unweighted: int) -> None:
    if without:
        st.info(
            f"No stored evaluation: {', '.join(without)}. `cspine-zoo evaluate` measures them on "
            "labelled studies of your own."
        )
    if unweighted:
        whose = "classifier has" if unweighted == 1 else "classifiers have"
        st.caption(
            f"{unweighted} more {whose} no weights at hand, so that nothing was measured; the page "
            "“Models” lists them."
        )


def colours_of(stored: Stored) -> dict[str, str]:
    """The colour that each variant has on the other pages too."""
    return variant_colours(list(stored), catalogue())


def show_overview(stored: Stored) -> None:
    """On what, and one line a variant."""
    for dataset in dict.fromkeys(own.record.dataset for own in stored.values()):
        own = next(each for each in stored.values() if each.record.dataset == dataset)
        st.markdown(f"**Data.** {data_sentence(own)}")
        missing = dict.fromkeys(
            missing_sentence(each) for each in stored.values() if each.record.dataset == dataset
        )
        st.caption(" ".join([*filter(None, missing), dataset]))
    st.table(overview_rows(stored), border="horizontal", hide_index=True)
    st.caption(
        "In brackets: 95 % intervals of 1,000 bootstrap resamples of studies, twins together. Log "
        "loss is the RSNA 2022 challenge's, lower is better; ECE: expected calibration error of "
        "vertebrae, lower is better. “Twins in order”: of two studies that differ by the fracture "
        "alone, how often the fractured vertebra scores higher; far easier than diagnosis."
    )


def show_roc(stored: Stored) -> None:
    """ROC of patients and of vertebrae, and the calls at each variant's threshold."""
    st.subheader("ROC", anchor="roc")
    colours = colours_of(stored)
    for column, (of, title) in zip(st.columns(2, gap="large"), _OF.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            aucs = {name: own.figures[of]["auc"] for name, own in stored.items()}
            _plot(
                roc_figure(stored, of, colours, page_ink()),
                f"roc_{of}",
                f"ROC curves, {title.lower()}",
            )
            _legend(colours, {name: f"AUC {number(auc)}" for name, auc in aucs.items()})
            st.table(call_rows(stored, of), border="horizontal", hide_index=True)
    st.caption("Marks: the variant's own threshold. Dotted: a guess.")


def show_calibration(stored: Stored) -> None:
    """Whether probabilities mean what they say."""
    st.subheader("Calibration", anchor="calibration")
    colours = colours_of(stored)
    left, right = st.columns(2, gap="large")
    with left:
        _plot(reliability_figure(stored, colours, page_ink()), "reliability", "Reliability curves")
        eces = {name: f"ECE {number(own.figures['ece'], 3)}" for name, own in stored.items()}
        _legend(colours, eces)
    with right:
        st.markdown(
            "Of the vertebrae that were given a probability, how many are fractured? On the dotted "
            "line as many as was said; below it fewer, so that the variant says too much. Whiskers "
            "are 95 % intervals; the smallest marks, without any, stand for fewer than "
            f"{FEW} vertebrae."
        )
        st.markdown(
            "Fractures are far more frequent in these studies than among people who come to be "
            "scanned: a probability that fits here would be too high there."
        )
        with st.expander("Bins as numbers"):
            st.table(bin_rows(stored), border="horizontal", hide_index=True)


def show_levels(stored: Stored) -> None:
    """Each level by itself."""
    st.subheader("Per level", anchor="levels")
    colours = colours_of(stored)
    left, right = st.columns([2, 3], gap="large")
    with left:
        aucs = {
            name: [own.figures["per_level"][level]["auc"] for level in cz.LEVELS]
            for name, own in stored.items()
        }
        _plot(interval_figure(cz.LEVELS, aucs, colours, page_ink(), 0.5), "levels", "AUC per level")
        _legend(colours, dict.fromkeys(stored, ""))
    with right:
        st.table(level_rows(stored), border="horizontal", hide_index=True)
    st.caption(
        "AUC with its interval; then fractured ones found and whole ones called, at the variant's "
        "threshold. A level with few fractures tells little: read the interval."
    )


def show_halves(stored: Stored) -> None:
    """Easy against hard fractures, thin against thick slices, and the like."""
    facts = facts_known(stored)
    if not facts:
        return
    st.subheader("By conspicuity, slices and noise", anchor="strata")
    fact = st.segmented_control(
        "Halves by",
        facts,
        default=facts[0],
        format_func=lambda key: FACTS[key][0],
        key="halves_by",
        label_visibility="collapsed",
        required=True,
    )
    colours = colours_of(stored)
    of_variant = {name: halves(own, fact) for name, own in stored.items()}
    titles = list(next(iter(of_variant.values())))
    left, right = st.columns([2, 3], gap="large")
    with left:
        aucs = {
            name: [half["vertebra"]["auc"] for half in own.values()]
            for name, own in of_variant.items()
        }
        lines = [title.replace(" up to ", "<br>up to ").replace(" over ", "<br>over ")
                 for title in titles]  # fmt: skip
        chart = interval_figure(lines, aucs, colours, page_ink(), 0.5)
        _plot(chart, "halves", "Vertebra AUC in each half")
        _legend(colours, dict.fromkeys(stored, "vertebra AUC"))
    with right:
        st.table(half_rows(stored, fact), border="horizontal", hide_index=True)
    st.caption(half_sentence(fact))


def show_pair(stored: Stored) -> None:
    """Two variants on the same studies."""
    st.subheader("Two variants against each other", anchor="pair")
    if len(stored) < 2:
        st.caption("One evaluation alone has nothing to be compared with.")
        return
    names = list(stored)
    left, right = st.columns(2, gap="large")
    first = left.selectbox("First", names, key="pair_first")
    second = right.selectbox("Second", [name for name in names if name != first], key="pair_second")
    try:
        differences = stored[first].differences(stored[second])
    except cz.UsageError as error:
        show_failure(Failure(error.code, error.reason, error.file, error.hint))
        return
    st.markdown(f"**{difference_sentence(first, second, differences)}**")
    st.table(difference_rows(differences), border="horizontal", hide_index=True)
    pairs = len(names) * (len(names) - 1) // 2
    st.caption(
        "Paired bootstrap over studies: both are judged on the same resamples, so that what makes "
        "a study hard for both cancels out. p is two-sided and not corrected: of the "
        f"{pairs} pairs here, some may fall below 0.05 by chance."
    )


def show_commands(stored: Stored) -> None:
    """How to make the figures again."""
    with st.expander("The commands that measured this"):
        commands = dict.fromkeys(own.record.command for own in stored.values())
        st.code("\n".join(commands), language="bash", wrap_lines=True)
        weights = "\n".join(f"{own.record.weights_sha256}  {name}" for name, own in stored.items())
        st.caption("sha256 of the weights")
        st.code(weights, language=None, wrap_lines=True)


def _plot(figure: Any, key: str, words: str) -> None:
    st.plotly_chart(
        figure, key=key, config=PLOT_CONFIG, alt=f"{words}; the numbers are in the table"
    )


def _legend(colours: Mapping[str, str], told: Mapping[str, str]) -> None:
    st.html(legend({f"{name} {text}".strip(): colours[name] for name, text in told.items()}))
