import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable

import pytest

import cspine_zoo as cz
from jobs import Lane, Report, Ticket


def finished(ticket: Ticket[int], seconds: float = 5.0) -> Ticket[int]:
    end = time.monotonic() + seconds
    while not ticket.over and time.monotonic() < end:
        time.sleep(0.005)
    return ticket


def test_work_reports_stages_and_returns() -> None:
    def work(report: Report) -> int:
        report("segment", 0.5)
        report("classify", 2.0)
        return 7

    ticket = finished(Lane("t").submit(work))
    assert ticket.state == "done"
    assert ticket.result == 7
    assert ticket.progress.stages == {"segment": 0.5, "classify": 1.0}


def test_one_at_a_time_in_order_with_the_place_in_the_queue() -> None:
    lane, gate, order = Lane("t"), threading.Event(), list[int]()

    def work(number: int) -> Callable[[Report], int]:
        def run(report: Report) -> int:
            gate.wait(5)
            order.append(number)
            return number

        return run

    tickets = [lane.submit(work(number)) for number in range(3)]
    while tickets[0].state == "queued":
        time.sleep(0.005)
    assert [lane.ahead(ticket) for ticket in tickets] == [0, 1, 2]
    gate.set()
    assert [finished(ticket).result for ticket in tickets] == [0, 1, 2]
    assert order == [0, 1, 2]


def test_a_refusal_keeps_its_code_and_the_worker_lives_on() -> None:
    lane = Lane("t")

    def refuse(report: Report) -> int:
        raise cz.StudyRejected("no_ct", "no CT", file="a.zip", hint="give one")

    failure = finished(lane.submit(refuse)).progress.failure
    assert failure is not None
    assert (failure.code, failure.file, failure.hint) == ("no_ct", "a.zip", "give one")
    assert finished(lane.submit(lambda report: 1)).result == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("JANE DOE.dcm"), "internal_error"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory"), "out_of_memory"),
    ],
)
def test_a_fault_of_ours_is_told_without_the_message_of_the_exception(
    error: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(report: Report) -> int:
        raise error

    with caplog.at_level(logging.ERROR):
        failure = finished(Lane("t").submit(fail)).progress.failure
    assert failure is not None
    assert failure.code == code
    told = failure.reason + failure.hint + failure.details + caplog.text
    assert "JANE" not in told
    assert type(error).__name__ in caplog.text


def test_cancelling_stops_the_work_at_its_next_report() -> None:
    started = threading.Event()

    def work(report: Report) -> int:
        started.set()
        for _ in range(500):
            report("segment", 0.1)
            time.sleep(0.01)
        return 1

    ticket = Lane("t").submit(work)
    started.wait(5)
    ticket.cancel()
    assert finished(ticket).state == "cancelled"


def test_a_session_that_leaves_stops_its_work_and_frees_its_scan() -> None:
    class Scan:
        pass

    lane, started = Lane("t"), threading.Event()

    def submit() -> tuple[Ticket[int], "weakref.ref[Scan]"]:
        scan = Scan()

        def work(report: Report) -> int:
            started.set()
            for _ in range(500):
                report("segment", 0.1)
                time.sleep(0.01)
            return id(scan)

        return lane.submit(work), weakref.ref(scan)

    ticket, scan = submit()
    progress = ticket.progress
    started.wait(5)
    del ticket
    gc.collect()
    end = time.monotonic() + 5
    while (progress.state == "running" or scan() is not None) and time.monotonic() < end:
        time.sleep(0.01)
        gc.collect()
    assert progress.state == "cancelled"
    assert scan() is None


def test_a_cancelled_run_never_starts_and_is_not_counted() -> None:
    lane, gate = Lane("t"), threading.Event()
    first = lane.submit(lambda report: int(gate.wait(5)))
    second = lane.submit(lambda report: 2)
    third = lane.submit(lambda report: 3)
    while first.state == "queued":
        time.sleep(0.005)
    second.cancel()
    assert lane.ahead(third) == 1
    gate.set()
    assert finished(third).result == 3
    assert second.state == "cancelled"


def test_nobody_is_told_to_wait_for_what_no_visitor_asked_for() -> None:
    lane, gate = Lane("t"), threading.Event()
    prepared = lane.prepare(lambda report: int(gate.wait(5)))
    also = lane.prepare(lambda report: 1)
    first, second = lane.submit(lambda report: 2), lane.submit(lambda report: 3)
    while prepared.state == "queued":
        time.sleep(0.005)
    assert [lane.ahead(first), lane.ahead(second)] == [0, 1]
    gate.set()
    assert [finished(ticket).result for ticket in (prepared, also, first, second)] == [1, 1, 2, 3]
