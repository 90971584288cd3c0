"""The whole walk in a real browser, with the networks that come with the package."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cspine_zoo as cz
from cspine_zoo.resources import demo_dir
from notice import RESEARCH_ONLY
from tests.demo.accessibility import nameless, unreached

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REAL_CT = Path(__file__).parents[2] / "../shared/data/head_neck_ct/head_neck_ct.zip"
RUN_MS = 120_000
STEP_MS = 60_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, served as a user starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command = [sys.executable, "-m", "streamlit", "run", str(demo_dir() / "app.py"), *options]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent)
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)
    # Streamlit itself logs a traceback when a tab closes while it sends; none may touch the page.
    assert str(demo_dir()) not in log.read_text(encoding="utf-8", errors="replace")


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not answer")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


class Tab:
    """One visitor, with everything that went wrong in the browser."""

    def __init__(self, browser: Any, address: str, width: int, scheme: str) -> None:
        self.complaints: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 950}, color_scheme=scheme, accept_downloads=True
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(STEP_MS)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url, address))
        self.page.goto(address)

    def _check(self, url: str, address: str) -> None:
        """Nothing may be asked of any other machine."""
        own = (address, address.replace("http", "ws"), "data:", "blob:")
        if not url.startswith(own):
            self.complaints.append(f"asked for {url}")

    def run(self) -> None:
        self.page.get_by_role("button", name="Run").click()
        self.page.get_by_text("Take away").wait_for(timeout=RUN_MS)
        self.plot("spine").locator(".barlayer .point").first.wait_for()

    def plot(self, key: str) -> Any:
        return self.page.locator(f".st-key-{key} .js-plotly-plot")

    def slice_number(self, plane: str) -> int:
        slider = self.page.get_by_role("slider", name=plane)
        return int(slider.evaluate("e => e.value ?? e.getAttribute('aria-valuenow')"))

    def picture(self, plane: str) -> str:
        return str(self.page.get_by_alt_text(f"{plane} slice").get_attribute("src"))

    def download(self, label: str) -> str:
        """The text that a button gives."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=label).click()
        return Path(download.value.path()).read_text(encoding="utf-8")

    def result(self) -> Any:
        """What the JSON button gives."""
        return json.loads(self.download("JSON"))

    def settle(self, milliseconds: int = 1500) -> None:
        self.page.wait_for_timeout(milliseconds)

    def save(self, folder: Path, name: str) -> None:
        """The whole page, for a person to look at."""
        height = self.page.evaluate("document.querySelector('.stMain').scrollHeight")
        width = self.page.viewport_size["width"]
        self.page.set_viewport_size({"width": width, "height": int(height) + 60})
        self.settle()
        self.page.screenshot(path=str(folder / name))
        self.page.set_viewport_size({"width": width, "height": 950})


def _here() -> list[str]:
    """Classifiers whose weights came with the package: those that are run at first."""
    return [row.name for row in cz.list_models("cls-*") if row.available == "bundled"]


def look_around(tab: Tab) -> None:
    """A click on the attention strip, and a step by key: each shows another picture."""
    bar = tab.plot("attention").locator(".barlayer .point").first
    bar.scroll_into_view_if_needed()
    tab.settle()
    before, shown = tab.slice_number("Axial"), tab.picture("axial")
    box = bar.bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 2)
    tab.settle(4000)
    assert tab.slice_number("Axial") != before
    assert tab.picture("axial") != shown

    before, shown = tab.slice_number("Sagittal"), tab.picture("sagittal")
    tab.page.get_by_role("slider", name="Sagittal").press("ArrowRight")
    tab.settle(4000)
    assert tab.slice_number("Sagittal") == before + 1
    assert tab.picture("sagittal") != shown


def test_the_walk_with_the_sample(browser: Any, address: str, tmp_path: Path) -> None:
    tab = Tab(browser, address, 1400, "light")
    tab.page.get_by_text("Voxels").wait_for()
    tab.run()
    n_variants = len(_here())
    picture, notice = (
        place.bounding_box() for place in (tab.plot("spine"), tab.page.get_by_text(RESEARCH_ONLY))
    )
    assert picture["y"] + picture["height"] <= notice["y"]  # above the fold
    assert nameless(tab.page) == []
    assert unreached(tab.page) == []
    assert tab.plot("spine").locator(".barlayer .point").count() == 8 * n_variants
    tab.save(tmp_path, "sample_1400.png")

    look_around(tab)
    assert len(tab.result()["predictions"]) == n_variants
    assert tab.complaints == []
    tab.context.close()


def test_the_whole_twin_of_the_sample(browser: Any, address: str, tmp_path: Path) -> None:
    tab = Tab(browser, address, 1400, "dark")
    tab.page.get_by_text("Voxels").wait_for()
    tab.run()
    broken = tab.result()
    samples = tab.page.get_by_role("combobox", name="Sample study")
    samples.scroll_into_view_if_needed()
    tab.settle()  # scrolling closes the list
    samples.click()
    tab.page.get_by_role("option", name="the whole twin").click()
    tab.page.get_by_text("Take away").wait_for(state="detached")
    tab.page.get_by_text("Voxels").wait_for(timeout=RUN_MS)
    tab.run()
    whole = tab.result()
    tab.save(tmp_path, "twin_1400.png")
    assert whole["study"]["shape"] == broken["study"]["shape"]
    places, others = (
        {v["level"]: v["centroid_mm"] for v in one["predictions"][0]["vertebrae"] if v["found"]}
        for one in (broken, whole)
    )
    assert len(places) == 7
    for level, place in places.items():
        assert others[level] == pytest.approx(place, abs=2)
    assert whole["predictions"] != broken["predictions"]
    assert tab.complaints == []
    tab.context.close()


def test_a_click_on_a_plane_moves_the_crosshair_there(browser: Any, address: str) -> None:
    tab = Tab(browser, address, 1400, "light")
    lines = tab.page.locator(".st-key-plane_axial .crosshair i")
    lines.first.wait_for()
    axial, right = tab.slice_number("Axial"), []
    for share in (0.4, 0.6):
        box = tab.page.get_by_alt_text("axial slice").bounding_box()
        x, y = box["x"] + share * box["width"], box["y"] + 0.55 * box["height"]
        tab.page.mouse.click(x, y)
        tab.settle(3000)
        across, down = lines.first.bounding_box(), lines.last.bounding_box()
        assert across["y"] == pytest.approx(y, abs=3)
        assert down["x"] == pytest.approx(x, abs=3)
        readout = tab.page.get_by_text("at the crosshair, voxel").inner_text()
        right.append(float(readout.split(", x ")[1].split(",")[0]))
    assert right[0] > right[1]  # the patient's right, where x grows, is on the left of the picture
    assert tab.slice_number("Axial") == axial

    shown = tab.picture("axial")
    tab.page.get_by_text("Crosshair", exact=True).click()
    tab.settle(3000)
    assert lines.count() == 0
    box = tab.page.get_by_alt_text("sagittal slice").bounding_box()
    tab.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.25 * box["height"])
    tab.settle(3000)
    assert tab.slice_number("Axial") > axial
    assert tab.picture("axial") != shown
    tab.page.get_by_alt_text("coronal slice").hover()
    tab.page.get_by_role("button", name="Fullscreen: coronal").click()  # it is not covered
    tab.page.get_by_role("button", name="Close fullscreen").wait_for()
    assert tab.complaints == []
    tab.context.close()


def test_a_telephone_shows_all_of_it(browser: Any, address: str, tmp_path: Path) -> None:
    tab = Tab(browser, address, 420, "dark")
    tab.page.get_by_text("Voxels").wait_for()
    tab.run()
    tab.save(tmp_path, "sample_420.png")
    main = "document.querySelector('.stMain')"
    wide = tab.page.evaluate(f"{main}.scrollWidth - {main}.clientWidth")
    assert wide <= 0
    notice = tab.page.get_by_text(RESEARCH_ONLY)
    box = notice.bounding_box()
    assert box["y"] + box["height"] <= 951
    assert tab.complaints == []
    tab.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (420, "dark")])
def test_the_pages_beside_the_comparison(
    browser: Any, address: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """They are as wide as their window, whatever their tables hold."""
    tab = Tab(browser, address, width, scheme)
    for path, text in (("models", "Every row of"), ("evaluation", "Synthetic CT, not clinical")):
        tab.page.goto(f"{address}/{path}")
        tab.page.get_by_text(text).first.wait_for()
        tab.settle(3000)
        main = "document.querySelector('.stMain')"
        assert tab.page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") <= 0
        assert tab.page.get_by_text("That did not work").count() == 0
        assert nameless(tab.page) == []
        assert unreached(tab.page) == []
        tab.save(tmp_path, f"{path}_{width}.png")
    # A stored benchmark is either shown or told to be missing, for each classifier at hand.
    for row in cz.list_models("cls-*"):
        if row.available == "bundled":
            assert tab.page.get_by_text(row.name).count()
    assert tab.complaints == []
    tab.context.close()


def test_the_walk_with_a_real_study(browser: Any, address: str) -> None:
    """Its pictures are shown to nobody and kept nowhere."""
    if not REAL_CT.is_file():
        pytest.skip("the real study is not on this machine")
    tab = Tab(browser, address, 1400, "light")
    tab.page.get_by_text("Voxels").wait_for()
    tab.page.get_by_text("Your own").click()
    tab.page.get_by_role("button", name="Run", disabled=True).wait_for()  # nothing to run on yet
    tab.page.locator("input[type=file]").set_input_files(str(REAL_CT))
    tab.page.get_by_role("button", name="Delete now").wait_for(timeout=STEP_MS)
    tab.page.get_by_text("511 × 511 × 90").wait_for(timeout=RUN_MS)  # not the sample's table
    tab.settle()
    tab.run()
    scored = tab.plot("spine").locator(".scatterlayer .textpoint").count()
    assert scored >= 5 * len(_here())
    look_around(tab)
    report = tab.download("HTML report")
    assert all(name in report for name in _here())
    tab.page.get_by_role("button", name="Delete now").click()
    tab.plot("spine").wait_for(state="detached", timeout=STEP_MS)
    assert tab.page.locator("input[type=file]").count() == 1
    assert tab.complaints == []
    tab.context.close()


def test_a_refusal_in_the_browser(browser: Any, address: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no CT in here", encoding="utf-8")
    tab = Tab(browser, address, 1400, "light")
    if cz.sample_studies():
        tab.page.get_by_text("Your own").click()
    tab.page.locator("input[type=file]").set_input_files(str(path))
    tab.page.get_by_text("That did not work").wait_for()
    assert tab.page.get_by_text("notes.txt").count()
    assert tab.page.get_by_text("What to do:").count()
    assert tab.complaints == []
    tab.context.close()
