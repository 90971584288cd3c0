"""Whatever a server does, the right bytes come or the reason does, and nothing is left behind.

All troubles happen at once, to one file each: what is waited for is waited for together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import DriveSource, HuggingFaceSource, Source, UrlSource
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.watch import Patience
from tests.zoo.conftest import COMMIT, COMMITTED, segmenter_row
from tests.zoo.fetcher import Errand, errand, outcomes
from tests.zoo.servers import Drive, Hub, Trouble

pytestmark = pytest.mark.slow

SIZE = 900_000
AT_ONCE = 6
PATIENCE = Patience(quiet_seconds=8, total_seconds=120)
FOLDER = "1FoLdEr0000000000000000000000"
INNER = "1InNeR00000000000000000000000"
RIGHT = "a.safetensors"

GATED = Trouble(403, {"X-Error-Code": "GatedRepo"})
ON_HUB = {
    "whole": (None, RIGHT),
    "gated": (GATED, "asks for permission"),
    "login": (Trouble(401, {"X-Error-Message": "Invalid credentials"}), "401"),
    "missing": (Trouble(404, {"X-Error-Code": "EntryNotFound"}), "404"),
    "revision": (Trouble(404, {"X-Error-Code": "RevisionNotFound"}), "no such revision"),
    "busy": (Trouble(429, {"Retry-After": "300"}), "429"),
    "broken": (Trouble(503), "the server fails (503)"),
    "broken once": (Trouble(503, times=1), RIGHT),
    "cut once": (Trouble(stop=400_000, times=1), RIGHT),
    "cut always": (Trouble(stop=0), "connection was cut"),
    "silent": (Trouble(stop=0, hang=True), "stopped answering"),
    "stalled": (Trouble(stop=600_000, hang=True, no_range=True), "it stopped answering after 5"),
    "cut without ranges": (Trouble(stop=600_000, no_range=True), "cut again and again after 5"),
}
ON_DRIVE = {
    "whole": (None, RIGHT),
    "cut once": (Trouble(stop=600_000, times=1), RIGHT),
    "cut always": (Trouble(stop=600_000, no_range=True), "the connection was cut"),
    "stalled": (Trouble(stop=100_000, hang=True), "or stopped answering"),
    "broken": (Trouble(500), "private or missing"),
    "busy": (Trouble(429), "private or missing"),
}
AT_URL = {
    "whole": (None, RIGHT),
    "missing": (Trouble(404), "404"),
    "broken": (Trouble(502), "the server fails (502)"),
    "cut once": (Trouble(stop=600_000, times=1), RIGHT),
}
IMPOSTORS = {
    "page": (b"<!DOCTYPE html><html>Sign in</html>", "an HTML page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "pickle": (b"\x80\x02}q\x00.", "a Python pickle"),
    "zip": (b"PK\x03\x04 and more", "a zip archive"),
}


def _content(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(SIZE)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cache", tmp_path / "bundled", offline=False)


@pytest.fixture(autouse=True)
def _nothing_left(shelf: Shelf) -> Iterator[None]:
    yield
    left = {path.name for path in shelf.cache.rglob("*") if path.is_file()}
    assert {name for name in left if not name.endswith(".lock")} <= {RIGHT}


def _errand(content: bytes, source: Source, shelf: Shelf) -> Errand:
    return errand(ManifestEntry.from_dict(segmenter_row()), content, (source,), shelf)


def _check(tasks: dict[str, Errand], expected: dict[str, str]) -> None:
    found = outcomes(tasks, PATIENCE, AT_ONCE)
    wrong = [f"{name}: {text}" for name, text in found.items() if expected[name] not in text]
    assert not wrong, "\n".join(wrong)
    for name, text in found.items():
        if expected[name] == RIGHT:
            assert Path(text) == tasks[name].shelf.address("seg-tiny", tasks[name].file)
        else:
            assert tasks[name].file.sha256 in text, "what to do by hand"


def test_troubles_of_a_hub(hub: Hub, shelf: Shelf) -> None:
    tasks = {}
    for seed, (name, (trouble, _)) in enumerate(ON_HUB.items()):
        filename = name.replace(" ", "-")
        content = _content(seed)
        hub.files[COMMITTED + filename] = content
        if trouble is not None:
            hub.trouble[COMMITTED + filename] = trouble
        source = HuggingFaceSource("huggingface", "owner/zoo", COMMIT, filename)
        tasks[name] = _errand(content, source, shelf)
    _check(tasks, {name: words for name, (_, words) in ON_HUB.items()})


def test_troubles_of_a_drive(drive: Drive, shelf: Shelf) -> None:
    drive.confirm = True
    tasks = {}
    for seed, (name, (trouble, _)) in enumerate(ON_DRIVE.items(), 100):
        file_id = f"1AbCdEfGh-{seed}"
        drive.files[file_id] = _content(seed)
        if trouble is not None:
            drive.trouble[file_id] = trouble
        tasks[name] = _errand(_content(seed), DriveSource("gdrive", file_id), shelf)
    inner = "1InFoLdEr00000000000000000000"
    drive.files[inner] = _content(200)
    drive.folders = {FOLDER: {"readme.txt": "1ReAdMe0000000000000000000000", "fold0": INNER}}
    drive.folders[INNER] = {"best.safetensors": inner}
    for seed, name, folder, filename in (
        (200, "in a folder", FOLDER, "fold0/best.safetensors"),
        (201, "not in a folder", FOLDER, "fold1/best.safetensors"),
        (202, "no folder", "1NoNe000000000000000000000000", "best.safetensors"),
    ):
        source = DriveSource("gdrive", folder_id=folder, filename=filename)
        tasks[name] = _errand(_content(seed), source, shelf)
    drive.quota.add("1QuOtA0000")
    for seed, name in enumerate(("1QuOtA0000", "1PrIvAtE00", "1WrOnG0000"), 210):
        tasks[name] = _errand(_content(seed), DriveSource("gdrive", name), shelf)
    drive.files["1WrOnG0000"] = _content(0)
    expected = {name: words for name, (_, words) in ON_DRIVE.items()}
    expected |= {"in a folder": RIGHT, "not in a folder": "it holds", "no folder": "404"}
    expected |= {"1QuOtA0000": "quota", "1PrIvAtE00": "private", "1WrOnG0000": "wrong content"}
    _check(tasks, expected)


def test_troubles_of_plain_addresses(hub: Hub, shelf: Shelf) -> None:
    tasks, expected = {}, {}
    for seed, (name, (trouble, words)) in enumerate(AT_URL.items(), 300):
        place = name.replace(" ", "-")
        hub.files[place] = _content(seed)
        if trouble is not None:
            hub.trouble[place] = trouble
        source = UrlSource("url", f"{hub.url}/{place}")
        tasks[name], expected[name] = _errand(_content(seed), source, shelf), words
    for seed, (name, (content, words)) in enumerate(IMPOSTORS.items(), 400):
        hub.files[name] = content
        source = UrlSource("url", f"{hub.url}/{name}")
        tasks[name], expected[name] = _errand(_content(seed), source, shelf), words
    tasks["nobody"] = _errand(_content(500), UrlSource("url", "http://127.0.0.1:9/a"), shelf)
    _check(tasks, expected | {"nobody": "the connection is refused"})
