"""A real server with many visitors: nobody's study is mixed, kept or told, and accidents pass."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cspine_zoo.resources import demo_dir
from tests.demo.patients import APART_MM, CANARY, SHAPE, write_necks
from tests.demo.server import Server
from tests.demo.visitor import Visitor, with_own_study, with_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

N_VISITORS = 10
LEFT_MB = 6
"""Of some 80 that a visitor needs."""

VARIANT = "cls-cnn-lite0"
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()
    said = server.said()
    assert CANARY not in said
    assert str(demo_dir()) not in said  # no traceback touches the page; Streamlit has its own


@pytest.fixture(scope="module")
def necks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten studies of 56 MB."""
    return write_necks(tmp_path_factory.mktemp("necks"), N_VISITORS)


@contextmanager
def held(server: Server) -> Iterator[int]:
    """The worker's process, which stands still for a while."""
    worker = server.worker()
    os.kill(worker, signal.SIGSTOP)
    try:
        yield worker
    finally:
        with suppress(ProcessLookupError):  # it may have been killed meanwhile
            os.kill(worker, signal.SIGCONT)


def run(visitor: Visitor) -> str:
    """Run one variant, which is quickest, and wait for it."""
    visitor.choose("multiselect", "Variants", VARIANT)
    visitor.press("Run")
    return visitor.until(lambda text: "Take away" in text or "That did not work" in text)


def walk(server: Server, path: Path) -> tuple[Visitor, dict[str, Any], bytes]:
    """The whole visit: upload, run, and everything that can be carried away."""
    visitor = with_own_study(server, path)
    assert "Take away" in run(visitor)
    files = [visitor.download(label) for label in ("JSON", "CSV", "HTML", "NIfTI")]
    return visitor, json.loads(files[0]), b"".join(files)


def heights_mm(answer: dict[str, Any]) -> dict[str, float]:
    """How high each vertebra of a result lies."""
    found = [v for v in answer["predictions"][0]["vertebrae"] if v["found"]]
    return {vertebra["level"]: vertebra["centroid_mm"][2] for vertebra in found}


def test_ten_visitors_at_once_see_each_their_own_and_leave_nothing(
    server: Server, necks: list[Path]
) -> None:
    walk(server, necks[0])[0].close()  # from here on the worker holds its models
    time.sleep(40)  # and Streamlit has forgotten that visit
    base = server.memory_mb()
    with ThreadPoolExecutor(N_VISITORS) as pool:
        visits = list(pool.map(lambda path: walk(server, path), necks))
    full = server.memory_mb()

    heights = heights_mm(visits[0][1])
    assert len(heights) > 1
    for number, (visitor, answer, files) in enumerate(visits):
        assert answer["study"]["shape"] == [SHAPE[0] - number, *SHAPE[1:]]
        own = heights_mm(answer)
        assert own.keys() == heights.keys()
        for level, height in own.items():
            assert abs(height - APART_MM * number - heights[level]) < 2
        found = re.search(r", z (-?[\d.]+) mm", visitor.text)
        assert found is not None
        assert abs(float(found[1]) - APART_MM * number) < 200  # the planes show one's own result
        assert CANARY.encode() not in bytes(visitor.received) + files
    for path in server.temporary.rglob("*"):
        assert CANARY not in path.name
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()

    links = [visitor.query for visitor, _, _ in visits]
    assert len(set(links)) == N_VISITORS
    for visitor, _, _ in visits:
        visitor.close()
    left = time.monotonic()
    while server.memory_mb() > base + LEFT_MB * N_VISITORS and time.monotonic() - left < 60:
        time.sleep(1)
    seconds, after = time.monotonic() - left, server.memory_mb()
    assert after <= base + LEFT_MB * N_VISITORS, (
        f"{base:.0f} MB, {full:.0f} with ten, {after:.0f} {seconds:.0f} s on"
    )
    assert [path for path in server.temporary.rglob("*") if path.is_file()] == []
    late = Visitor(server.address, links[3])
    assert "not held here any more" in late.text
    late.close()


def test_a_killed_worker_costs_one_run(server: Server) -> None:
    visitor, other = with_study(server), with_study(server)
    visitor.press("Run")
    # A run that no worker has taken up would go to the next one.
    visitor.until(lambda text: "Finding the vertebrae" in text)
    worker = server.worker()
    os.kill(worker, signal.SIGKILL)
    text = visitor.until(lambda text: "That did not work" in text)
    assert "worker_died" in text
    assert "ended by SIGKILL" in text
    assert "What to do: Run again" in text
    assert "Take away" in run(other)
    assert server.worker() != worker
    for one in (visitor, other):
        one.close()


def test_a_reload_finds_the_running_job_and_its_result_and_cancel_frees_the_queue(
    server: Server,
) -> None:
    visitor, waiting = with_study(server), with_study(server)
    visitor.choose("multiselect", "Variants", VARIANT)
    with held(server):
        visitor.press("Run")
        waiting.press("Run")
        waiting.until(lambda text: "Waiting: 1 before you" in text, 10)
        link = visitor.query
        visitor.close()
        again = Visitor(server.address, link)
        assert "Cancel" in again.text
        waiting.press("Cancel")
        assert "Waiting" not in waiting.text
    again.until(lambda text: "Take away" in text)
    third = Visitor(server.address, link)
    assert "Whoever has this link sees" in third.text
    assert "Take away" in third.text
    assert "Take away" not in waiting.text
    for one in (again, waiting, third):
        one.close()


def test_deleting_takes_the_study_from_everyone_who_had_the_link(
    server: Server, necks: list[Path]
) -> None:
    owner = with_own_study(server, necks[0])
    guest = Visitor(server.address, owner.query)
    assert "840 × 840 × 40" in guest.text
    stranger = with_study(server)
    assert "840 × 840 × 40" not in stranger.text
    owner.press("Delete now")
    guest.refresh()
    assert "840 × 840 × 40" not in guest.text
    assert "not held here any more" in guest.text
    for one in (owner, guest, stranger):
        one.close()


def test_an_upload_cut_in_the_middle_leaves_nothing_and_the_next_works(
    server: Server, necks: list[Path], tmp_path: Path
) -> None:
    visitor = with_study(server)
    visitor.choose("button_group", "Where the study comes from", "Your own")
    url = visitor.ask_for_address(necks[0].name).upload_url
    data = necks[0].read_bytes()
    head = (
        f"PUT {url} HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: {len(data)}\r\n"
        f"Cookie: _streamlit_xsrf={visitor.token}\r\nX-Xsrftoken: {visitor.token}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
    )
    with socket.create_connection(server.address.split(":")) as line:  # type: ignore[arg-type]
        line.sendall(head.encode() + data[: len(data) // 2])
    visitor.refresh()
    assert "That did not work" not in visitor.text

    half = tmp_path / "half.zip"  # a browser that was interrupted while it was saved
    half.write_bytes(data[: len(data) // 2])
    visitor.upload(half)
    text = visitor.until(lambda text: "That did not work" in text)
    assert "What to do:" in text
    visitor.upload(necks[0])
    visitor.until(lambda text: "840 × 840 × 40" in text)
    assert [path for path in server.temporary.rglob("*") if path.is_file()] == []
    visitor.close()


@AS_ROOT
def test_a_full_disk_is_told_and_the_next_study_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "server/temporary"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    server = Server(tmp_path / "server")
    try:
        visitor = with_study(server)
        visitor.choose("button_group", "Where the study comes from", "Your own")
        large = tmp_path / "large.zip"
        large.write_bytes(np.random.default_rng(0).bytes(1_030_000))
        filler = disk / "filler"
        filler.write_bytes(bytes(500_000))
        visitor.upload(large)
        visitor.until(lambda text: "disk_full" in text)
        assert "has no room for the upload" in visitor.text
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]
        filler.unlink()
        visitor.choose("button_group", "Where the study comes from", "Sample")
        visitor.until(lambda text: "Voxels" in text)
        assert "disk_full" not in visitor.text
        visitor.close()
    finally:
        server.stop()
        subprocess.run(["umount", str(disk)], check=True)
