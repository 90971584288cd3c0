import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import work
from jobs import Here, Lane, Ticket
from process import WorkerProcess
from shared import Shared, pack, unpack
from tests.demo import stunts
from tests.demo.neck import neck


def finished(ticket: Ticket[Any], seconds: float = 60.0) -> Ticket[Any]:
    assert ticket.wait(seconds), "the work did not end"
    return ticket


@pytest.mark.parametrize(
    "turn",
    [
        lambda a: a,
        np.asfortranarray,
        lambda a: a[::-1, :, ::-1],
        lambda a: np.flip(a.transpose(2, 0, 1), (0, 1)),
        lambda a: a[3:-3, ::2],
    ],
    ids=["plain", "fortran", "flipped", "turned", "cut"],
)
def test_arrays_of_any_strides_are_shared(turn: Any) -> None:
    array = turn(np.random.default_rng(0).integers(-1024, 3000, (60, 50, 40), np.int16))
    shared = Shared({"voxels": array, "small": np.arange(3)})
    assert len(shared.outline.stream) < 2000  # the voxels are beside it
    np.testing.assert_array_equal(shared.value["voxels"], array)
    data, files = pack(("study", shared))
    assert len(data) < 2500
    told, received = unpack(data, files)
    assert told == "study"
    np.testing.assert_array_equal(received["voxels"], array)
    received["voxels"][...] = 0  # a mapping of one's own: nobody else sees it
    np.testing.assert_array_equal(shared.value["voxels"], array)


def test_a_shared_volume_is_the_same_study_and_goes_with_its_holder() -> None:
    ct, _ = neck()
    shared = Shared(ct)
    np.testing.assert_array_equal(shared.value.hu, ct.hu)
    np.testing.assert_array_equal(shared.value.geometry.affine, ct.geometry.affine)
    assert shared.value.report == ct.report
    file = shared.file
    del shared
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_hands_in_this_process_get_values_too() -> None:
    ct, _ = neck()
    ticket = finished(Lane("t", Here()).submit(stunts.sum_up, Shared(ct)))
    assert ticket.result == (pytest.approx(float(ct.hu.sum(dtype=np.float64))), os.getpid())


def test_a_full_graphics_card_falls_back_to_the_processor_and_says_so() -> None:
    devices = list[str]()

    def run(device: str) -> str:
        devices.append(device)
        if device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return "result"

    result, remarks = work.with_room(run)
    assert (result, devices) == ("result", ["auto", "cpu"])
    assert [remark.code for remark in remarks] == ["ran_on_cpu"]


def test_other_errors_of_a_run_are_not_tried_again() -> None:
    devices = list[str]()

    def run(device: str) -> str:
        devices.append(device)
        raise RuntimeError("expected a 4D tensor")

    with pytest.raises(RuntimeError, match="4D"):
        work.with_room(run)
    assert devices == ["auto"]
    assert work.with_room(str.upper) == ("AUTO", ())


@pytest.fixture(scope="module")
def hands() -> Iterator[WorkerProcess]:
    process = WorkerProcess(grace_seconds=1.0, patience_seconds=20.0)
    yield process
    process.end()


@pytest.fixture
def lane(hands: WorkerProcess) -> Iterator[Lane]:
    class Lent(Here):
        """Ending a lane must not end the process that the next test uses."""

        do = hands.do  # type: ignore[assignment]

    lane = Lane("t", Lent())
    yield lane
    lane.close()


@pytest.mark.slow
def test_voxels_reach_another_process_and_results_come_back(
    lane: Lane, hands: WorkerProcess
) -> None:
    ct, _ = neck()
    ticket = finished(lane.submit(stunts.sum_up, Shared(ct)))
    assert ticket.result == (pytest.approx(float(ct.hu.sum(dtype=np.float64))), hands.pid)
    assert hands.pid != os.getpid()
    assert ticket.progress.stages == {"segment": 0.5}


@pytest.mark.slow
def test_a_worker_cannot_change_the_page_s_voxels(lane: Lane) -> None:
    shared = Shared(np.ones((64, 64, 64), np.float32))
    assert finished(lane.submit(stunts.overwrite, shared)).result == 0.0
    assert shared.value.min() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_costs_one_run_and_is_replaced(
    lane: Lane, hands: WorkerProcess, number: signal.Signals
) -> None:
    before = hands.pid
    waiting = [
        lane.submit(stunts.kill_itself, int(number)),
        lane.submit(stunts.sum_up, Shared(neck()[0])),
    ]
    failure = finished(waiting[0]).progress.failure
    assert failure is not None
    assert failure.code == "worker_died"
    assert number.name in failure.reason
    assert "Run again" in failure.hint
    assert finished(waiting[1]).state == "done"
    assert waiting[1].result[1] == hands.pid != before


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_or_while_idle_is_replaced(
    lane: Lane, hands: WorkerProcess
) -> None:
    running = lane.submit(stunts.hang)
    while not running.progress.stages:
        time.sleep(0.01)
    assert hands.pid is not None
    os.kill(hands.pid, signal.SIGKILL)
    failure = finished(running).progress.failure
    assert failure is not None
    assert failure.code == "worker_died"
    assert finished(lane.submit(stunts.sum_up, Shared(neck()[0]))).state == "done"
    os.kill(hands.pid, signal.SIGKILL)
    again = finished(lane.submit(stunts.sum_up, Shared(neck()[0])))
    assert (again.state, again.progress.failure) == ("done", None)
    assert finished(lane.submit(stunts.leave)).progress.failure.code == "worker_died"  # type: ignore[union-attr]


@pytest.mark.slow
def test_cancelling_is_quick_and_ends_a_stuck_worker(lane: Lane, hands: WorkerProcess) -> None:
    before = finished(lane.submit(stunts.sum_up, Shared(neck()[0]))).result[1]
    for work_, same in ((stunts.report_for_ever, True), (stunts.hang, False)):
        running = lane.submit(work_)
        while not running.progress.stages:
            time.sleep(0.01)
        began = time.monotonic()
        running.cancel()
        assert finished(running).state == "cancelled"
        assert time.monotonic() - began < (1.0 if same else 3.0)
        assert (hands.pid == before) is same
    assert finished(lane.submit(stunts.sum_up, Shared(neck()[0]))).state == "done"


@pytest.mark.slow
def test_a_run_that_reports_nothing_is_ended() -> None:
    hands = WorkerProcess(patience_seconds=0.5)
    lane = Lane("t", hands)
    try:
        failure = finished(lane.submit(stunts.hang)).progress.failure
        assert failure is not None
        assert failure.code == "worker_stuck"
    finally:
        lane.close()


@pytest.mark.slow
def test_refusals_and_defects_come_back_in_the_page_s_words(
    lane: Lane, capfd: pytest.CaptureFixture[str]
) -> None:
    failure = finished(lane.submit(stunts.refuse)).progress.failure
    assert failure is not None
    assert (failure.code, failure.hint) == ("no_cervical_spine", "Give a neck.")
    failure = finished(lane.submit(stunts.stumble, "JANE DOE.dcm")).progress.failure
    assert failure is not None
    assert failure.code == "internal_error"
    assert "stumble" in failure.details
    told = failure.reason + failure.hint + failure.details + "".join(capfd.readouterr())
    assert "JANE" not in told


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_holds_no_study_when_it_is_idle(lane: Lane, hands: WorkerProcess) -> None:
    finished(lane.submit(stunts.sum_up, Shared(neck()[0])))
    time.sleep(0.5)
    assert "cspine-zoo-study" not in Path(f"/proc/{hands.pid}/maps").read_text()
    names = [str(entry.readlink()) for entry in Path(f"/proc/{hands.pid}/fd").iterdir()]
    assert not [name for name in names if "cspine-zoo-study" in name]


@pytest.mark.slow
def test_a_worker_ends_with_its_server() -> None:
    hands = WorkerProcess()
    lane = Lane("t", hands)
    pid = finished(lane.submit(stunts.sum_up, Shared(neck()[0]))).result[1]
    hands._connection.close()  # what the end of a process does to it
    end = time.monotonic() + 5
    while hands._process is not None and hands._process.poll() is None:
        assert time.monotonic() < end, f"{pid} lives on"
        time.sleep(0.02)
    lane.close()
