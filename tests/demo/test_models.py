"""The page of models: a card each, limitations first, and a way to the weights."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import cspine_zoo as cz
from cspine_zoo.resources import demo_dir
from cspine_zoo.zoo.catalog import ModelRow
from cspine_zoo.zoo.watch import Arrived
from tests.demo.conftest import VARIANTS, row

FAR = "cls-far"


@pytest.fixture
def visit(zoo: list[ModelRow], monkeypatch: pytest.MonkeyPatch) -> Callable[[], AppTest]:
    """The page alone; rows that are made up have the card of a real one."""
    known = cz.find_entry(VARIANTS[0])

    def find_entry(name: str) -> cz.ManifestEntry:
        return replace(known, name=name, limitations=(f"{name} knows nothing.", "Nor that."))

    monkeypatch.setattr(cz, "find_entry", find_entry)
    st.cache_resource.clear()

    def open_page() -> AppTest:
        page = AppTest.from_file(str(demo_dir() / "views/models.py"), default_timeout=120)
        return run(page)

    return open_page


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.info, page.text, page.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def bars(page: AppTest) -> str:
    """What stands on bars of progress."""
    return " ".join(str(bar.proto) for bar in page.get("progress"))


def names(page: AppTest) -> list[str]:
    return [e.value.removeprefix("##### ") for e in page.markdown if e.value.startswith("#####")]


def test_each_card_tells_limits_before_figures(
    visit: Callable[[], AppTest], zoo: list[ModelRow]
) -> None:
    zoo.append(row("cls-none", "none"))
    told = words(visit())
    assert told.index("cls-cnn-lite0 knows nothing.") < told.index("3.40 million parameters")
    assert "6.8 MB · weights MIT" in told
    assert "comes with the package" in told
    assert "Nobody has published weights" in told
    assert "cspine-zoo train cls-none --data synthetic" in told
    assert "cspine-zoo convert FILE.pth --model cls-none" in told
    assert "cspine-zoo evaluate" in told  # the command of a figure


def test_filters_leave_what_was_asked_for(
    visit: Callable[[], AppTest], zoo: list[ModelRow]
) -> None:
    zoo.append(row("cls-none", "none"))
    page = visit()
    assert sorted(names(page)) == sorted(each.name for each in zoo)
    page.segmented_control(key="models_task").set_value("vertebra-segmentation")
    assert names(run(page)) == ["seg-unet3d-small"]
    page.segmented_control(key="models_task").set_value("all")
    page.segmented_control(key="models_weights").set_value("none")
    assert names(run(page)) == ["cls-none"]


def test_an_empty_zoo_is_told(visit: Callable[[], AppTest], zoo: list[ModelRow]) -> None:
    zoo.clear()
    assert "lists no model" in words(visit())


def test_weights_are_fetched_with_progress_and_cancel(
    visit: Callable[[], AppTest], zoo: list[ModelRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transfer itself is tested with real servers; here it waits for the page."""
    stopped, may_end = threading.Event(), threading.Event()

    def download(chosen: Sequence[str], *, watch: cz.Watch) -> list[Path]:
        assert list(chosen) == [FAR]
        assert watch.progress is not None
        assert watch.cancel is not None
        watch.progress(Arrived(FAR, "hub", 3, 4))
        while not may_end.wait(0.01):
            if watch.cancel.is_set():
                stopped.set()
                raise cz.DownloadError("cancelled", "The transfer was cancelled.")
        return []

    zoo[:] = [row(FAR, "remote")]
    monkeypatch.setattr(cz, "download", download)
    page = visit()
    page.button(key=f"fetch_{FAR}").click()
    until(page, lambda: "75% from hub" in bars(page))
    page.button(key=f"cancel_{FAR}").click()
    run(page)
    assert stopped.wait(10)
    assert page.button(key=f"fetch_{FAR}")

    zoo[:] = [row(FAR, "remote")]
    page.button(key=f"fetch_{FAR}").click()
    run(page)
    zoo[:] = [row(FAR, "cached")]
    may_end.set()
    until(page, lambda: "fetched before" in words(page))


def test_a_failed_transfer_says_what_to_do(
    visit: Callable[[], AppTest], zoo: list[ModelRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(chosen: Sequence[str], *, watch: cz.Watch) -> list[Path]:
        raise cz.DownloadError("offline", "No source was asked.", hint="By hand: put it there.")

    zoo[:] = [row(FAR, "remote")]
    monkeypatch.setattr(cz, "download", download)
    page = visit()
    page.button(key=f"fetch_{FAR}").click()
    until(page, lambda: "By hand: put it there." in words(page))
    page.button(key=f"close_{FAR}").click()
    run(page)
    assert page.button(key=f"fetch_{FAR}")


def until(page: AppTest, reached: Callable[[], bool]) -> None:
    """Run the page as its timer does, until it shows what is waited for."""
    end = time.monotonic() + 60
    run(page)
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)
        run(page)
