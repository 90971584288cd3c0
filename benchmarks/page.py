"""A step of a slice slider in a real browser: seconds to the new picture, and bytes that were sent.

``python -m benchmarks.page [STUDY]`` serves the page, opens it in headless Chromium with the sample
(or uploads STUDY), runs the bundled variants, and moves the sliders by key. The yardstick is a step
that changes no picture, hiding the crosshair: what is above it, pictures cost. ``--bare`` measures
without a run, so without overlays and tables on the page.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from cspine_zoo.resources import demo_dir

PLANES: Final = ("axial", "coronal", "sagittal")
STEPS: Final = 20
"""For each plane."""
QUIET_MS: Final = 700
"""After a step: longer than any late message that belongs to it was seen to take."""
PATIENCE_MS: Final = 600_000

BUDGET_SECONDS: Final = 0.5
BUDGET_BYTES: Final = 40 * 1024

# Starts at the key press and ends when the picture that it asked for is decoded and shown; with
# "lines" it ends when the crosshair has come or gone.
_WATCH: Final = """
(what) => {
  const box = document.querySelector(`.st-key-plane_${what === "lines" ? "axial" : what}`);
  const state = () => what === "lines" ? String(box.querySelectorAll(".crosshair i").length)
                                       : box.querySelector("img").src;
  const before = state();
  window.step = { seconds: null };
  const begin = () => {
    const began = performance.now();
    const look = () => {
      const img = box.querySelector("img");
      if (state() !== before && img.complete && img.naturalWidth > 0) {
        window.step.seconds = (performance.now() - began) / 1000;
      } else {
        requestAnimationFrame(look);
      }
    };
    look();
  };
  window.addEventListener("keydown", begin, { once: true, capture: true });
}
"""


@dataclass
class Traffic:
    """Bytes from the server, as the browser counts them."""

    messages: int = 0
    files: int = 0
    names: list[str] = field(default_factory=list)

    def listen(self, session: Any) -> None:
        """Count what arrives over a DevTools session: websocket frames and files."""
        session.send("Network.enable")
        session.on("Network.webSocketFrameReceived", self._frame)
        session.on("Network.loadingFinished", self._file)

    def _frame(self, event: dict[str, Any]) -> None:
        frame = event["response"]
        data = frame["payloadData"]
        self.messages += len(base64.b64decode(data)) if frame["opcode"] == 2 else len(data)

    def _file(self, event: dict[str, Any]) -> None:
        self.files += int(event["encodedDataLength"])

    @property
    def total(self) -> int:
        """Both together."""
        return self.messages + self.files


@dataclass(frozen=True)
class Step:
    """One press of a key."""

    seconds: float
    messages: int
    files: int

    @property
    def sent(self) -> int:
        """Bytes from the server."""
        return self.messages + self.files


@contextmanager
def served() -> Iterator[str]:
    """Address of the page, served as a user starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(demo_dir() / "app.py")]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        try:
            while server.poll() is None and not _answers(f"{address}/_stcore/health"):
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def step(page: Any, traffic: Traffic, what: str, key: str) -> Step:
    """Press a key on the slider of a plane, or on the crosshair's switch (``"lines"``)."""
    messages, files = traffic.messages, traffic.files
    page.evaluate(_WATCH, what)
    if what == "lines":
        page.get_by_role("switch", name="Crosshair").press(key)
    else:
        page.get_by_role("slider", name=what.capitalize()).press(key)
    page.wait_for_function("window.step.seconds !== null")
    page.wait_for_timeout(QUIET_MS)
    seconds = float(page.evaluate("window.step.seconds"))
    return Step(seconds, traffic.messages - messages, traffic.files - files)


def report(name: str, steps: Sequence[Step]) -> None:
    """One line of figures."""
    seconds = sorted(one.seconds for one in steps)
    p95 = seconds[min(len(seconds) - 1, round(0.95 * len(seconds)))]
    sent = [one.sent / 1024 for one in steps]
    print(
        f"{name:10} {statistics.median(seconds):8.3f} {p95:8.3f} "
        f"{statistics.median(sent):9.1f} {max(sent):9.1f}"
        f"   ({statistics.median(one.messages / 1024 for one in steps):.1f} in messages)"
    )


def measure(page: Any) -> None:
    """Yardstick first, then each plane."""
    traffic = Traffic()
    traffic.listen(page.context.new_cdp_session(page))
    print(f"{'step':10} {'median s':>8} {'p95 s':>8} {'KiB':>9} {'most KiB':>9}")
    lines = [step(page, traffic, "lines", "Space") for _ in range(STEPS // 2 * 2)]
    report("crosshair", lines)
    every = []
    for plane in PLANES:
        page.get_by_role("slider", name=plane.capitalize()).press("ArrowLeft")
        page.wait_for_timeout(3 * QUIET_MS)
        found = [step(page, traffic, plane, "ArrowRight") for _ in range(STEPS)]
        report(plane, found)
        every += found
    report("all planes", every)
    ratio = statistics.median(s.seconds for s in every) / statistics.median(
        s.seconds for s in lines
    )
    kept = sum(s.seconds <= BUDGET_SECONDS and s.sent <= BUDGET_BYTES for s in every)
    print(f"a picture step against a step without pictures: {ratio:.2f}")
    print(f"within {BUDGET_SECONDS} s and {BUDGET_BYTES // 1024} KiB: {kept} of {len(every)}")


def main() -> None:
    """Serve, open, run, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", type=Path, help="zip or NIfTI to upload")
    parser.add_argument("--bare", action="store_true", help="measure without a run")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        parser.error("no chromium on this machine: apt-get install chromium")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 950})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            _open(page, asked.study, asked.bare)
            measure(page)
        finally:
            browser.close()


def _open(page: Any, study: Path | None, bare: bool) -> None:
    page.get_by_text("Voxels").wait_for()
    if study is not None:
        page.get_by_text("Your own").click()
        page.locator("input[type=file]").first.set_input_files(str(study))
        page.get_by_text("Delete now").wait_for()
        page.get_by_text("Voxels").wait_for()
    if not bare:
        page.get_by_role("button", name="Run").click()
        page.get_by_text("Take away").wait_for()
    page.get_by_alt_text("sagittal slice").wait_for()
    page.wait_for_timeout(5 * QUIET_MS)


if __name__ == "__main__":
    main()
