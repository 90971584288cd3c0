import gc
import time
import weakref

import pytest

from cases import Case, Intake, Order, Shelf, Study
from jobs import Lane, Report, Ticket
from shared import Shared
from tests.demo.neck import neck
from tests.demo.test_uploads import File
from uploads import Spool
from work import Outcome


class House:
    """A shelf, and who is at home."""

    def __init__(self, linger_seconds: float = 0.05) -> None:
        self.present = {"a", "b"}
        self.left: list[str] = []
        self.shelf = Shelf(
            self.present.__contains__, self.left.append, linger_seconds=linger_seconds
        )


def study(spool: Spool | None = None) -> Study:
    return Study(Order("neck", spool=spool), Shared(neck()[0]))


def endless(report: Report) -> None:
    while True:
        report("segment", 0.1)
        time.sleep(0.005)


def test_keys_are_long_and_lead_to_their_case_only() -> None:
    house = House()
    cases = [Case(study=study()) for _ in range(3)]
    for case in cases:
        house.shelf.show(case, f"visitor of {case.key}", "a")
        assert len(case.key) >= 22  # 128 bits
        assert house.shelf.find(case.key) is case
    assert len({case.key for case in cases}) == 3
    assert house.shelf.find("") is None
    assert house.shelf.find(cases[0].key[:-1]) is None


def test_what_nobody_looks_at_is_gone_after_a_while_and_its_memory_free() -> None:
    house = House()
    case = Case(study=study())
    house.shelf.show(case, "visitor", "a")
    key, ct = case.key, weakref.ref(case.study.ct)  # type: ignore[union-attr]
    del case
    house.shelf.sweep()
    time.sleep(0.06)
    house.shelf.sweep()
    assert house.shelf.find(key) is not None  # the page is open, however long ago it was touched
    house.present.clear()
    house.shelf.sweep()
    assert house.shelf.find(key) is not None  # a reload takes a moment
    time.sleep(0.06)
    house.shelf.sweep()
    assert house.shelf.find(key) is None
    gc.collect()
    assert ct() is None
    assert house.left == ["a"]


def test_a_case_stays_for_as_long_as_one_of_two_looks_at_it() -> None:
    house = House()
    case = Case(study=study())
    house.shelf.show(case, "owner", "a")
    house.shelf.show(case, "guest", "b")
    house.present.discard("a")
    time.sleep(0.06)
    house.shelf.sweep()
    assert house.shelf.find(case.key) is case
    house.shelf.leave("guest")
    house.shelf.sweep()
    assert house.shelf.find(case.key) is None


def test_leaving_drops_a_case_at_once_and_stops_its_work() -> None:
    house, lane = House(), Lane("t")
    ticket: Ticket[Outcome] = lane.submit(endless)
    case = Case(study=study(), run=ticket)
    house.shelf.show(case, "visitor", "a")
    while ticket.state == "queued":
        time.sleep(0.005)
    house.shelf.leave("visitor")
    assert house.shelf.find(case.key) is None
    assert ticket.wait(5)
    assert ticket.state == "cancelled"


def test_forgetting_takes_every_case_of_the_study_and_the_upload() -> None:
    house, spool = House(), Spool([File("a.zip"), File("b.zip")])
    one = study(spool)
    first, second, other = Case(study=one), Case(study=one), Case(study=study())
    for number, case in enumerate((first, second, other)):
        house.shelf.show(case, str(number), "a")
    house.shelf.forget(second)
    assert [house.shelf.find(case.key) for case in (first, second, other)] == [None, None, other]
    assert not spool.root.exists()


def test_the_next_run_of_a_study_keeps_its_upload() -> None:
    house, spool = House(), Spool([File("a.zip"), File("b.zip")])
    one = study(spool)
    before, after = Case(study=one), Case(study=one)
    house.shelf.show(before, "visitor", "a")
    house.shelf.show(after, "visitor", "a")
    time.sleep(0.06)
    house.shelf.sweep()
    assert house.shelf.find(before.key) is None
    assert spool.root.exists()


@pytest.mark.parametrize("works", [True, False])
def test_a_finished_reading_becomes_a_study_or_a_refusal_without_our_names(works: bool) -> None:
    spool = Spool([File("Doe^Jane.zip")])

    def read(report: Report) -> Shared[object]:
        if not works:
            raise FileNotFoundError(spool.source)
        return Shared(neck()[0])

    case = Case(intake=Intake(Order(spool.title, spool=spool), Lane("t").submit(read)))
    assert case.intake is not None
    case.intake.ticket.wait(5)
    case.settle()
    assert case.intake is None
    assert (case.study is not None) is works
    assert (case.refusal is None) is works
    assert not spool.root.exists()  # one series: nothing to choose, nothing to keep
