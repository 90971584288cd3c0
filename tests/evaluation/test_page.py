"""The report: one file, the figures of the JSON, nobody's pictures unasked."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.evaluated import Evaluated, short_names
from cspine_zoo.evaluation.findings import FindingScore
from cspine_zoo.evaluation.page import SYNTHETIC_NOTICE, to_page
from cspine_zoo.evaluation.paired import compare_models
from cspine_zoo.evaluation.pictures import Pictures
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.evaluation.vertebrae import VertebraScore
from cspine_zoo.export.html import NOTICE
from cspine_zoo.rsna.layout import StudyRow
from tests.evaluation.made_up import ROWS, good, record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "runs/<img src=x onerror=alert(1)>&amp;</script>.safetensors"
PIXEL = "data:image/jpeg;base64,AAAA"


class Page(HTMLParser):
    """Tags, text and tables of a page; fails on tags that do not nest."""

    VOID = frozenset({"meta", "br", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        elif tag == "br" and "table" in self.open:
            self.tables[-1][-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "style" in self.open:
            return
        self.text += data
        if "th" in self.open or "td" in self.open:
            self.tables[-1][-1][-1] += data

    def with_heading(self, *headings: str) -> list[list[list[str]]]:
        """Bodies of the tables whose head starts so."""
        return [t[1:] for t in self.tables if t[0][: len(headings)] == list(headings)]


def evaluated(rows: Any = ROWS, **models: Any) -> Evaluated:
    known = {
        name: ModelRecords(tuple(records), 0.5, 0.3)
        for name, records in (models or {"cls-a": good(), "cls-b": other()}).items()
    }
    return Evaluated(rows, known, report(rows, known), compare_models(rows, known))


def other() -> tuple[Any, ...]:
    masks = {level: VertebraScore(0.8, True, 2.0) for level in ("C2", "C5")}
    boxes = {"findings": FindingScore(1, 1, 2), "localizer": "loc"}
    return (
        record("1", 0.4, C5=0.2, vertebrae=masks, **boxes),
        record("2", 0.3, C5=0.2),
        record("3", 0.2, C2=0.01, C3=0.6),
        record("4", 0.7, C2=0.7),
    )


def real() -> tuple[StudyRow, ...]:
    return tuple(replace(row, uid=f"1.2.{row.uid}", synthetic=None) for row in ROWS)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(to_page(evaluated()))


def shown(figure: Any, decimals: int = 3) -> str:
    if figure["value"] is None:
        return "undefined"
    text = f"{figure['value']:.{decimals}f}"
    low, high = figure["ci95"] or (None, None)
    return text if low is None else f"{text} {low:.{decimals}f} to {high:.{decimals}f}"


def test_it_stands_alone_and_says_first_what_it_is_not(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert "src" not in attributes, (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    _, first_line = page.text.split("Evaluation of fracture classifiers", 1)  # the page's title
    assert first_line.strip().startswith(f"{NOTICE} {SYNTHETIC_NOTICE}")


def test_its_figures_are_those_of_the_json(page: Page) -> None:
    models = evaluated().result["models"]
    (overview,) = page.with_heading("Model", "Log loss", "Patient AUC")
    assert [line[0] for line in overview] == list(models)
    for line, model in zip(overview, models.values(), strict=True):
        figures = (
            model["log_loss"],
            model["patient"]["auc"],
            model["vertebra"]["auc"],
            model["patient"]["f1"],
            model["vertebra"]["f1"],
            model["ece"],
            model["twin_order"],
        )
        assert line[1:] == [shown(figure) for figure in figures]
    points = page.with_heading("Model", "Threshold", "AUC")
    for of, threshold, lines in zip(
        ("patient", "vertebra"), ("0.500", "0.300"), points, strict=True
    ):
        for line, model in zip(lines, models.values(), strict=True):
            assert line[1:-1] == [threshold, *(shown(figure) for figure in model[of].values())]
    levels = page.with_heading("Level", "Fractured, called", "Whole, called")
    for lines, model in zip(levels, models.values(), strict=True):
        assert [line[0] for line in lines] == [*LEVELS, "patient"]
        for line in lines:
            own = model["per_level"].get(line[0], model["patient"])
            assert line[3:] == [shown(figure) for figure in own.values()]
            for counts, share, hit in ((line[1], "recall", True), (line[2], "specificity", False)):
                called, everyone = map(int, counts.split(" of "))
                assert everyone == own[share]["n"]
                if everyone:
                    rate = called / everyone if hit else 1 - called / everyone
                    assert own[share]["value"] == pytest.approx(rate)
    halves = page.with_heading("Studies", "Patient AUC")
    for lines, model in zip(halves, models.values(), strict=True):
        expected = [half for s in model["strata"].values() for half in (s["low"], s["high"])]
        assert len(lines) == len(expected) == 6
        for line, half in zip(lines, expected, strict=True):
            assert line[3] == shown(half["patient"]["specificity"])
            assert line[5] == shown(half["vertebra"]["recall"])


def test_parts_that_not_every_model_has(page: Page) -> None:
    own = evaluated()
    model = own.result["models"]["cls-b"]
    (segmenters,) = page.with_heading("Segmenter")
    assert [line[2] for line in segmenters] == [shown(model["dice"]["C2"])]
    assert segmenters[0][-1] == shown(model["centroid_error_mm"], 1)
    (findings,) = page.with_heading("Model", "Fractures found")
    assert findings[0][1] == "undefined"
    assert findings[1][1] == shown(model["findings"]["recall"])
    (pairs,) = page.with_heading("First minus second")
    (pair,) = own.pairs
    assert pairs[0][1:3] == [shown(pair["log_loss"]), f"{pair['log_loss']['p']:.3f}"]
    alone = Page(to_page(evaluated(only=good())))
    assert not alone.with_heading("First minus second")
    assert not alone.with_heading("Segmenter")
    assert not alone.with_heading("Model", "Fractures found")


def test_names_from_outside_stay_text() -> None:
    rows = [replace(row, uid=f"<i>{row.uid}</i>") for row in ROWS]
    source = to_page(evaluated(rows, **{HOSTILE: good()}))
    assert "<i>" not in source
    assert "onerror=alert(1)>" not in source.replace(get_plotlyjs(), "")
    page = Page(source)
    assert "img" not in {tag for tag, _ in page.tags}
    assert "<i>1</i>" in page.text


def test_models_are_called_by_the_last_part_of_their_path() -> None:
    names = short_names(["/home/me/runs/cls-x.safetensors", "cls-y"])
    assert list(names.values()) == ["cls-x", "cls-y"]
    twice = ["a/cls.safetensors", "b/cls.safetensors"]
    assert short_names(twice) == {name: name for name in twice}
    page = to_page(evaluated(**{"/home/me/runs/cls-x.safetensors": good()}))
    assert "cls-x" in page
    assert "/home/me" not in page


def test_real_studies_are_neither_named_nor_shown_unasked() -> None:
    own = evaluated(real())
    source = to_page(own)
    page = Page(source)
    assert SYNTHETIC_NOTICE not in page.text
    assert "data:image" not in source.replace(get_plotlyjs(), "")
    assert not re.search(r"1\.2\.\d", page.text)
    assert "in the order of UIDs" in page.text
    study = own.worst()[0].study
    asked = to_page(own, {study: Pictures(PIXEL, PIXEL, truth=True, fracture=True)})
    assert asked.count(PIXEL) == 2
    assert own.rows[study].uid in asked


def test_worst_studies_come_first_with_what_each_model_said() -> None:
    own = evaluated()
    mistakes = own.worst()
    totals = [sum(mistake.log_loss.values()) for mistake in mistakes]
    assert totals == sorted(totals, reverse=True)
    # Study 3: 0.2 for a fractured patient by one model, and 0.01 for its broken C2.
    assert own.rows[mistakes[0].study].uid == "3"
    assert (mistakes[0].level, mistakes[0].fractured) == ("C2", True)
    assert mistakes[0].probability == {"cls-a": 0.6, "cls-b": 0.01}
    page = Page(to_page(own, {mistakes[0].study: "no_dicom"}))
    assert "No pictures (no_dicom)." in page.text
    (said, *_) = page.with_heading("Model", "Log loss", "P(C2)")
    assert [line[2] for line in said] == ["0.600", "0.010"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 420])
def test_every_chart_is_drawn_without_the_net(tmp_path: Path, width: int) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    path = tmp_path / "report.html"
    path.write_text(to_page(evaluated(**{HOSTILE: good(), "cls-b": other()})), encoding="utf-8")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("request", lambda request: complaints.append(request.url))
        tab.goto(path.as_uri())
        n_charts = tab.locator("[id^=chart-]").count()
        tab.wait_for_function(
            "n => document.querySelectorAll('[id^=chart-] .main-svg').length >= n", arg=n_charts
        )
        overflow = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        axes = tab.locator("[id^=chart-] .infolayer text").all_text_contents()
        browser.close()
    assert complaints == [path.as_uri()]
    assert n_charts == 4 + 1 + 3 + 2 + 1
    assert {"Recall", "1 - specificity", "AUC", "Dice", "Predicted probability"} <= set(axes)
    assert overflow <= 0
