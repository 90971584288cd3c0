"""The reading process: what happens in it stays in it, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cspine_zoo.ct import isolate
from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.intake import take_in
from cspine_zoo.ct.read import read_ct
from cspine_zoo.ct.reply import Layout, read_reply, write_failure
from cspine_zoo.errors import StudyRejected

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")


def run(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60, **options
    )


def test_voxels_come_back_as_they_were_written(folder: Path) -> None:
    apart, here = read_ct(folder), assemble(take_in(folder), None, "")
    assert np.array_equal(apart.hu, here.hu)
    assert apart.hu.strides == here.hu.strides
    assert np.array_equal(apart.geometry.affine, here.geometry.affine)
    assert apart.report.used == here.report.used
    assert apart.report.series == here.report.series
    apart.hu[0, 0, 0] = 7  # the caller's own memory


class Reading(threading.Thread):
    """One reading whose process can be found."""

    def __init__(self, source: Path) -> None:
        super().__init__()
        self.source = source
        self.refusal: StudyRejected | None = None
        self.start()

    def run(self) -> None:
        try:
            read_ct(self.source)
        except StudyRejected as error:
            self.refusal = error

    def child(self) -> int:
        """Identifier of the process, once it is there."""
        while True:
            words = Path(f"/proc/self/task/{self.native_id}/children").read_text().split()
            if words:
                return int(words[0])
            time.sleep(0.001)


@linux
@pytest.mark.parametrize("turns", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_reader_that_is_killed_costs_one_study(folder: Path, turns: int) -> None:
    """At any moment of its life: the caller gets one refusal, and the next study is read."""
    lives = []
    for _ in range(3):
        began = time.perf_counter()
        read_ct(folder)
        lives.append(time.perf_counter() - began)
    for delay in np.random.default_rng(turns).uniform(0, 0.6 * min(lives), turns):
        reading = Reading(folder)
        child = reading.child()
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        reading.join(10)
        assert reading.refusal is not None
        assert reading.refusal.code == "reader_died"
        assert reading.refusal.file == str(folder)
        assert "SIGKILL" in reading.refusal.reason
    assert read_ct(folder).hu.any()


@linux
def test_limits_are_set_before_anything_is_read() -> None:
    told = run(
        "import resource as r, ctypes, cspine_zoo.ct.child as c; c.confine()\n"
        "print(*(r.getrlimit(k)[0] for k in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_NOFILE,"
        " r.RLIMIT_CORE)))\n"
        "death = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(death))\n"
        "print(death.value)\n"
        "try: bytearray(11 << 30)\n"
        "except MemoryError: print('refused')"
    )
    limits, death, memory = told.stdout.decode().splitlines()
    space, seconds, files, core = map(int, limits.split())
    assert space <= 10 << 30
    assert (seconds, files, core) == (300, 2048, 0)
    assert int(death) == signal.SIGKILL
    assert memory == "refused"


@linux
def test_a_reader_that_spins_is_ended() -> None:
    spun = run("import cspine_zoo.ct.child as c; c.MAX_CPU_SECONDS = 1; c.confine()\nwhile 1: pass")
    assert isolate._death(spun.returncode, "x").code == "too_slow"


def test_what_decoders_print_does_not_reach_the_answer() -> None:
    done = run(
        "import os, sys, cspine_zoo.ct.child as c\n"
        "def serve(request, memory):\n"
        "    os.write(1, b'noise'); os.write(2, b'noise'); return b'answer'\n"
        "c.serve = serve; sys.argv = ['child', '0']; c.main()",
        input=b"{}",
    )
    assert (done.stdout, done.stderr) == (b"answer", b"")


def test_a_defect_of_the_reader_is_told_by_its_place_alone() -> None:
    reply = write_failure(ValueError("Canary^Name"), "dicom.py:7")
    with pytest.raises(StudyRejected) as info:
        read_reply(reply, memoryview(b""), "study.zip")
    assert info.value.code == "reader_failed"
    assert "ValueError in dicom.py:7" in info.value.reason
    assert "Canary" not in str(info.value)


def test_an_answer_cannot_point_outside_its_memory() -> None:
    for layout in (
        Layout("float32", 8, (2, 2, 2), (16, 8, 4)),
        Layout("float32", 0, (2, 2, 3), (16, 8, 4)),
        Layout("float32", -4, (1, 1, 1), (4, 4, 4)),
        Layout("float32", 0, (2, 2, 2), (-16, 8, 4)),
    ):
        with pytest.raises(ValueError, match=r"strides|negative|offset|buffer"):
            layout.view(memoryview(bytearray(32)))


def test_the_working_directory_is_no_part_of_the_reader(folder: Path, tmp_path: Path) -> None:
    """A study's folder may hold files named like modules."""
    (tmp_path / "json.py").write_text("raise SystemExit(99)")
    (tmp_path / "numpy.py").write_text("raise SystemExit(99)")
    command = [sys.executable, "-P", "-m", "cspine_zoo", "inspect", str(folder), "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["volume"]["orientation"] == "RAS"
