"""The page of stored benchmarks: what it shows is what is stored, and what is missing is told."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import cspine_zoo as cz
from cspine_zoo.resources import demo_dir
from cspine_zoo.zoo.catalog import ModelRow
from figures.curves import FEW, reliability_figure, roc_figure
from figures.intervals import interval_figure
from measured import (
    data_sentence,
    difference_sentence,
    halves,
    level_rows,
    missing_sentence,
    number,
    overview_rows,
)
from tests.demo.benchmarks import COMMAND, DATASET, stored
from tests.demo.conftest import VARIANTS, row

GOOD, GUESS = VARIANTS[0], VARIANTS[1]
COLOURS = {GOOD: "#0072B2", GUESS: "#E69F00"}

Known = dict[str, cz.StoredEvaluation]


@pytest.fixture(scope="module")
def known() -> Known:
    return {GOOD: stored(GOOD), GUESS: stored(GUESS, skill=0.0)}


@pytest.fixture
def visit(
    known: Known, zoo: list[ModelRow], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], AppTest]:
    """The page alone, with two evaluations in store."""
    monkeypatch.setattr(cz, "stored_evaluation", known.get)
    st.cache_resource.clear()

    def open_page() -> AppTest:
        page = AppTest.from_file(str(demo_dir() / "views/evaluation.py"), default_timeout=120)
        page.run()
        assert not page.exception
        return page

    return open_page


def words(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.info, page.warning, page.text)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_limits_come_first_and_every_part_is_there(visit: Callable[[], AppTest]) -> None:
    page = visit()
    assert "not clinical accuracy" in page.warning[0].value
    told = words(page)
    assert "20 synthetic studies, 10 with a fracture, 10 of 140 vertebrae" in told
    assert "10 pairs of twins" in told
    assert DATASET in told
    headings = [heading.value for heading in page.subheader]
    assert headings == [
        "ROC",
        "Calibration",
        "Per level",
        "By conspicuity, slices and noise",
        "Two variants against each other",
    ]
    assert f"No stored evaluation: {VARIANTS[2]}" in told
    assert COMMAND.replace("NAME", GOOD) in page.code[0].value
    assert f"{GOOD} has the better patient AUC" in told


def test_another_pair_and_another_half(visit: Callable[[], AppTest], known: Known) -> None:
    page = visit()
    page.selectbox(key="pair_first").set_value(GUESS)
    page.segmented_control(key="halves_by").set_value("thickness")
    page.run()
    assert not page.exception
    assert page.selectbox(key="pair_second").value == GOOD
    cells = page.table[-1].value.to_csv()
    assert number(known[GUESS].differences(known[GOOD])["log_loss"], 3) in cells
    assert "Thickness up to 1.95 mm" in page.table[-2].value.to_csv()


def test_rows_without_weights_or_evaluation_are_told(
    visit: Callable[[], AppTest], zoo: list[ModelRow], known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> cz.StoredEvaluation:
        raise cz.WeightsError("evaluation_of_other_weights", f"{name}: of other weights.")

    zoo[:] = [row(GOOD), row("cls-far", "remote"), row("cls-none", "none")]
    monkeypatch.setattr(cz, "stored_evaluation", refuse)
    page = visit()
    told = words(page)
    assert "evaluation_of_other_weights" in told
    assert "2 more classifiers have no weights at hand" in told
    assert "No classifier at hand comes with a stored evaluation" in told
    assert not page.subheader


def test_curves_end_where_they_must_and_marks_stand_at_the_thresholds(known: Known) -> None:
    figure = roc_figure(known, "patient", COLOURS, "#000000")
    for name, own in known.items():
        line, mark = (trace for trace in figure.data if trace.line.color == COLOURS[name] or
                      trace.marker.color == COLOURS[name])  # fmt: skip
        assert (line.x[0], line.y[0], line.x[-1], line.y[-1]) == (0, 0, 1, 1)
        counts = own.confusion("patient")
        assert (
            mark.y[0] == counts.hits / counts.fractured == own.figures["patient"]["recall"]["value"]
        )
        assert mark.x[0] == pytest.approx(1 - own.figures["patient"]["specificity"]["value"])
    assert len({trace.line.dash for trace in figure.data if trace.mode == "lines"}) == 3
    assert not roc_figure(known, "C1", COLOURS, "#000000").data[1:]  # one class only


def test_reliability_shows_every_vertebra_once(known: Known) -> None:
    figure = reliability_figure(known, COLOURS, "#000000")
    for trace in figure.data[1:]:
        assert sum(trace.customdata) == 140
        assert all(low >= 0 for low in trace.error_y.arrayminus)
    for trace, own in zip(figure.data[1:], known.values(), strict=True):
        for bar, down, each in zip(
            trace.error_y.array, trace.error_y.arrayminus, own.reliability, strict=True
        ):
            low, high = each.fractured["ci95"] or (0, 0)
            expected = high - low if each.fractured["n"] >= FEW else 0
            assert bar + down == pytest.approx(expected)
    assert any(sum(trace.error_y.array) for trace in figure.data[1:])
    assert len({trace.marker.symbol for trace in figure.data[1:]}) == 2


def test_intervals_leave_out_what_is_undefined(known: Known) -> None:
    aucs = {
        name: [own.figures["per_level"][level]["auc"] for level in cz.LEVELS]
        for name, own in known.items()
    }
    figure = interval_figure(cz.LEVELS, aucs, COLOURS, "#000000", 0.5)
    for trace in figure.data:
        assert [label for label, _ in trace.customdata] == ["C5"]
    assert figure.data[0].y[0] < 4 < figure.data[1].y[0]  # the first variant above the second


def test_numbers_stand_in_the_tables_as_they_are_stored(known: Known) -> None:
    first = overview_rows(known)[0]
    figure = known[GOOD].figures["patient"]["auc"]
    assert first["Patient AUC"].startswith(f"{figure['value']:.2f} ({figure['ci95'][0]:.2f}")
    by_level = {cells["Level"]: cells for cells in level_rows(known)}
    assert by_level["**C5**"]["Fractured"] == "10 of 20"
    assert by_level["**C1**"]["cnn"].startswith("–")
    assert number({"value": 0.5, "ci95": None, "n": 3}) == "0.50"
    titles = list(halves(known[GOOD], "conspicuity"))
    assert titles == ["Conspicuity up to 10", "Conspicuity over 10"]


def test_the_data_are_told_with_what_is_missing(known: Known) -> None:
    own = known[GOOD]
    assert "10 pairs of twins that differ by the fracture alone." in data_sentence(own)
    assert missing_sentence(own) == ""
    first, second, *rest = own.studies
    whole = replace(own.record, studies=(replace(first, truth=second.truth), second, *rest))
    assert "(1 of them by none in C1 to C7)" in data_sentence(replace(own, record=whole))
    answers = [list(row) for row in own.record.probabilities]
    answers[0][0] = answers[3][0] = answers[3][6] = None
    gaps = replace(own.record, probabilities=tuple(tuple(row) for row in answers))
    told = missing_sentence(replace(own, record=gaps))
    assert told.startswith("3 of 140 vertebrae were not found")
    assert "C1 in 2, C7 in 1 of 20 studies" in told


def test_the_sentence_names_the_better_one_whichever_way_round(known: Known) -> None:
    forth = known[GOOD].differences(known[GUESS])
    back = known[GUESS].differences(known[GOOD])
    for first, second, differences in ((GOOD, GUESS, forth), (GUESS, GOOD, back)):
        told = difference_sentence(first, second, differences)
        assert f"{GOOD} has the better log loss" in told
        assert f"{GUESS} has" not in told
    same = known[GOOD].differences(known[GOOD])
    assert "cannot tell the two apart" in difference_sentence(GOOD, GOOD, same)
