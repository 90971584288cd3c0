"""What the server holds for its visitors, each under a key that nobody can guess.

A page holds keys only. So "Delete now" frees a study for everybody at once, and what nobody looks
at any more is gone after a while, whatever Streamlit still remembers of the session.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import cspine_zoo as cz
from jobs import Failure, Ticket
from memory import give_back
from peaks import Peak
from shared import Shared
from uploads import Spool
from work import Outcome, Remark

LINGER_SECONDS: Final = 30.0
"""How long a case stays without a viewer: enough to reload a page, or to cross a gap in a net."""

SWEEP_SECONDS: Final = 5.0

_TIDIED: Final = 3
"""Sweeps that tidy up after a visitor."""


@dataclass(frozen=True)
class Order:
    """A study that is asked for.

    Attributes:
        title: what its owner calls it.
        owner: name of the visit that brought it; nobody else is told the names of its files.
        truth: what is known about a sample; empty otherwise.
        sample: name of the sample, or empty for an upload.
        spool: the upload itself, kept only while there is a choice of series.
    """

    title: str
    owner: str = ""
    truth: Mapping[str, int] = field(default_factory=dict)
    sample: str = ""
    spool: Spool | None = None


@dataclass(eq=False)
class Study:
    """A study that has been read; workers map ``shared``, the page looks at ``ct``."""

    order: Order
    shared: Shared[cz.CTVolume]

    @property
    def ct(self) -> cz.CTVolume:
        """The voxels."""
        return self.shared.value

    @property
    def title(self) -> str:
        """What its owner calls it."""
        return self.order.title

    @property
    def truth(self) -> Mapping[str, int]:
        """What is known about a sample."""
        return self.order.truth

    @property
    def sample(self) -> str:
        """Name of the sample, or empty for an upload."""
        return self.order.sample

    @property
    def spool(self) -> Spool | None:
        """The upload, while there is a choice of series."""
        return self.order.spool


@dataclass(frozen=True)
class Intake:
    """A study on its way in."""

    order: Order
    ticket: Ticket[Shared[cz.CTVolume]]


@dataclass(eq=False)
class Case:
    """A study from its order on, and at most one run of it: what a link leads to.

    Attributes:
        linked: whether its key stands in the address of the page.
        picture: the sagittal cut beside the bars, drawn once a run.
    """

    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    linked: bool = False
    intake: Intake | None = None
    study: Study | None = None
    refusal: Failure | None = None
    run: Ticket[Outcome] | None = None
    run_failure: Failure | None = None
    comparison: cz.Comparison | None = None
    remarks: tuple[Remark, ...] = ()
    peaks: Mapping[str, Peak] = field(default_factory=dict)
    picture: str = ""
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def order(self) -> Order | None:
        """What was asked for; None before that, and after a refusal."""
        if self.intake is not None:
            return self.intake.order
        return self.study.order if self.study else None

    def settle(self) -> None:
        """Turn what is finished into a study, a result, or the reason why there is none."""
        with self._turn:
            if self.intake is not None and self.intake.ticket.over:
                self._settle_reading(self.intake)
            if self.run is not None and self.run.over:
                self._settle_run(self.run)

    def stop(self) -> None:
        """End what is being made."""
        for ticket in (self.run, self.intake.ticket if self.intake else None):
            if ticket is not None:
                ticket.cancel()

    def delete_upload(self) -> None:
        """Remove the files that were uploaded, if they are still there."""
        if self.order is not None and self.order.spool is not None:
            self.order.spool.delete()

    def _settle_reading(self, intake: Intake) -> None:
        order, ticket = intake.order, intake.ticket
        if ticket.state == "done":
            if order.spool is not None and len(readable(ticket.result.value)) < 2:
                order.spool.delete()
                order = replace(order, spool=None)
            self.study = Study(order, ticket.result)
        else:
            refusal = ticket.progress.failure or Failure("cancelled", "Reading was stopped.")
            if order.spool is not None:
                refusal = _in_his_words(refusal, order.spool)
                order.spool.delete()
            self.refusal = refusal
        self.intake = None  # last: others look at this case without waiting for its turn

    def _settle_run(self, ticket: Ticket[Outcome]) -> None:
        if ticket.state == "done":
            done = ticket.result
            self.comparison, self.remarks, self.peaks = done.comparison, done.remarks, done.peaks
        elif ticket.state == "failed":
            self.run_failure = ticket.progress.failure or Failure("failed", "The run failed.")
        self.run = None


def readable(ct: cz.CTVolume) -> list[int]:
    """Series of the study that could be read."""
    return [series.index for series in ct.report.series if series.shape is not None]


def _in_his_words(failure: Failure, spool: Spool) -> Failure:
    """With the uploader's names in place of this server's."""
    return replace(
        failure,
        reason=failure.reason.replace(str(spool.root), spool.title),
        file=spool.original(failure.file) if failure.file else "",
    )


class Shelf:
    """All cases, and who looks at which.

    Args:
        present: whether a session has an open page.
        farewell: told once of each session that has been gone for ``linger_seconds``.
        tidy: called a few times after somebody has gone.
        linger_seconds: how long a case stays without a viewer.
    """

    def __init__(
        self,
        present: Callable[[str], bool],
        farewell: Callable[[str], None],
        tidy: Callable[[], None] = give_back,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._present = present
        self._farewell = farewell
        self._tidy = tidy
        self._linger = linger_seconds
        self._turn = threading.Lock()
        self._cases: dict[str, tuple[Case, float]] = {}
        self._views: dict[str, str] = {}
        self._sessions: dict[str, tuple[str, float]] = {}
        self._untidy = 0

    def find(self, key: str) -> Case | None:
        """The case under a key; None if there is none, or none any more."""
        with self._turn:
            held = self._cases.get(key)
        return held[0] if held else None

    def show(self, case: Case, visitor: str, session: str) -> None:
        """Let a visitor look at a case, and at no other.

        Args:
            case: to be held for as long as somebody looks at it.
            visitor: who.
            session: Streamlit's, by which it is known whether the visitor is there.
        """
        with self._turn:
            self._cases[case.key] = (case, time.monotonic())
            self._views[visitor] = case.key
            self._sessions[visitor] = (session, time.monotonic())

    def leave(self, visitor: str) -> None:
        """Let a visitor look at nothing; what nobody else looks at is gone."""
        with self._turn:
            key = self._views.pop(visitor, "")
            if key not in self._views.values():
                self._drop(key)

    def forget(self, case: Case) -> None:
        """Drop a case, and every other one of the same study, whoever looks at it."""
        with self._turn:
            for other, _ in list(self._cases.values()):
                if other is case or (other.study is not None and other.study is case.study):
                    self._drop(other.key)
        case.delete_upload()

    def sweep(self) -> None:
        """Drop what nobody has looked at for a while."""
        now, gone = time.monotonic(), list[str]()
        with self._turn:
            for visitor, (session, seen) in list(self._sessions.items()):
                if self._present(session):
                    self._sessions[visitor] = (session, now)
                elif now - seen > self._linger:
                    del self._sessions[visitor]
                    self._views.pop(visitor, None)
                    gone.append(session)
            watched = set(self._views.values())
            late = [
                key
                for key, (_, shown) in self._cases.items()
                if key not in watched and now - shown > self._linger
            ]
            for key in late:
                self._drop(key)
        for session in gone:
            self._farewell(session)
        if self._untidy:
            self._tidy()
        # Farewells are said on another thread: what they free is tidied up by the next sweeps.
        self._untidy = _TIDIED if gone or late else max(0, self._untidy - 1)

    def keep_swept(self) -> None:
        """Sweep every few seconds from now on."""
        arguments = (weakref.ref(self),)
        name = "cspine-zoo-sweeper"
        threading.Thread(target=_sweep_often, args=arguments, name=name, daemon=True).start()

    def _drop(self, key: str) -> None:
        held = self._cases.pop(key, None)
        if held is not None:
            held[0].stop()


def _sweep_often(reference: weakref.ref[Shelf]) -> None:
    while (shelf := reference()) is not None:
        shelf.sweep()
        del shelf
        time.sleep(SWEEP_SECONDS)
