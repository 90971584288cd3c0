"""Many processes fetch one file, and processes that fetch are killed: nothing is lost by it."""

from __future__ import annotations

import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import DriveSource, HuggingFaceSource, Source
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.staging import INCOMING
from tests.zoo.conftest import COMMIT, COMMITTED, segmenter_row
from tests.zoo.fetcher import Errand, errand, run
from tests.zoo.servers import Drive, Hub, Trouble

pytestmark = pytest.mark.slow

KILLS = 50
SIZE = 600_000
AT_ONCE = 2
PATIENT = "50"
"""Seconds without anything new: on a busy machine it can be more than users would wait."""
ENTRY = ManifestEntry.from_dict(segmenter_row())

# A fork from a process that holds torch would copy its threads' locks.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.zoo.fetcher"])


@pytest.fixture
def settings(
    hub: Hub, drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What a process must know: a fork server's children have their server's environment."""
    monkeypatch.setenv("CSPINE_ZOO_TIMEOUT", PATIENT)
    return {
        "CSPINE_ZOO_TIMEOUT": PATIENT,
        "HF_ENDPOINT": hub.url,
        "HTTPS_PROXY": drive.url,
        "REQUESTS_CA_BUNDLE": str(tmp_path / "authority.pem"),
        "HF_HOME": str(tmp_path / "hf"),
    }


def _content(seed: int) -> bytes:
    return random.Random(seed).randbytes(SIZE)


def test_eight_processes_make_one_transfer(
    hub: Hub, shelf: Shelf, settings: dict[str, str]
) -> None:
    hub.files[COMMITTED + "a"] = _content(0)
    source = HuggingFaceSource("huggingface", "owner/zoo", COMMIT, "a")
    task = errand(ENTRY, _content(0), (source,), shelf)
    processes = [PROCESSES.Process(target=run, args=(task, settings)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert len([line for line in hub.log if line.startswith("GET")]) == 1
    assert file_sha256(shelf.address(ENTRY.name, task.file)) == task.file.sha256


def test_as_many_recoveries_as_kills(
    hub: Hub, drive: Drive, shelf: Shelf, settings: dict[str, str]
) -> None:
    chance = random.Random(1)

    def prepare(seed: int) -> tuple[Errand, Trouble]:
        trouble = Trouble(stop=chance.randrange(SIZE), hang=True, times=1)
        source: Source
        if seed % 2:
            drive.files[f"1AbCdEfGh-{seed}"] = _content(seed)
            drive.trouble[f"1AbCdEfGh-{seed}"] = trouble
            source = DriveSource("gdrive", f"1AbCdEfGh-{seed}")
        else:
            hub.files[COMMITTED + str(seed)] = _content(seed)
            hub.trouble[COMMITTED + str(seed)] = trouble
            source = HuggingFaceSource("huggingface", "owner/zoo", COMMIT, str(seed))
        return errand(ENTRY, _content(seed), (source,), shelf), trouble

    def kill_and_recover(prepared: tuple[Errand, Trouble]) -> bool:
        task, trouble = prepared
        process = PROCESSES.Process(target=run, args=(task, settings))
        process.start()
        assert trouble.struck.wait(60), "the transfer never came to its byte"
        process.kill()
        process.join()
        return file_sha256(Path(task.run())) == task.file.sha256

    with ThreadPoolExecutor(AT_ONCE) as pool:
        recovered = list(pool.map(kill_and_recover, [prepare(seed) for seed in range(KILLS)]))
    assert recovered == [True] * KILLS
    assert list((shelf.cache / INCOMING).glob("*")) == []
    files = [path for path in shelf.cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(files) == KILLS


def test_a_living_transfer_is_not_swept_and_a_dead_one_is(
    hub: Hub, shelf: Shelf, settings: dict[str, str]
) -> None:
    def prepare(seed: int, trouble: Trouble | None) -> Errand:
        hub.files[COMMITTED + str(seed)] = _content(seed)
        if trouble is not None:
            hub.trouble[COMMITTED + str(seed)] = trouble
        source = HuggingFaceSource("huggingface", "owner/zoo", COMMIT, str(seed))
        return errand(ENTRY, _content(seed), (source,), shelf)

    slow = Trouble(stop=300_000, hang=True, times=1)
    living = PROCESSES.Process(
        target=run, args=(prepare(1, slow), settings | {"CSPINE_ZOO_TIMEOUT": "60"})
    )
    living.start()
    assert slow.struck.wait(60)
    dead = shelf.cache / INCOMING / ("d" * 64) / "x"
    dead.mkdir(parents=True)
    prepare(2, None).run()
    assert not dead.parent.exists()
    assert len(list((shelf.cache / INCOMING).glob("*/*/*"))) > 0
    living.kill()
    living.join()
