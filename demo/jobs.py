"""Long work off the page: a queue that hands one piece of work after another to its workers.

Nothing here touches Streamlit. What is made hangs on a ticket; when nobody holds the ticket any
more, the work stops and its memory is free.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import cspine_zoo as cz
from shared import Shared

T = TypeVar("T")
Report = Callable[[str, float], None]
State = Literal["queued", "running", "done", "failed", "cancelled"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why there is no result, in words for the page."""

    code: str
    reason: str
    file: str = ""
    hint: str = ""
    details: str = ""


class Cancelled(Exception):
    """Raised inside the work when nobody waits for it any more."""


class Failed(Exception):
    """Raised by hands that know already why the work failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


@dataclass(eq=False)
class Progress:
    """What worker and page both see of a run."""

    state: State = "queued"
    stages: dict[str, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    started: float | None = None
    finished: float | None = None
    failure: Failure | None = None
    result: Any = None
    counted: bool = True

    def note(self, stage: str, fraction: float) -> None:
        """Remember how far a stage is."""
        self.stages[stage] = min(1.0, max(0.0, fraction))

    def report(self, stage: str, fraction: float) -> None:
        """Note how far a stage is; ends the work if the ticket is gone."""
        if self.stop.is_set():
            raise Cancelled
        self.note(stage, fraction)

    @property
    def seconds(self) -> float:
        """Time since the worker took it up."""
        if self.started is None:
            return 0.0
        return (self.finished or time.perf_counter()) - self.started


class Ticket(Generic[T]):
    """A hold on one piece of work."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        weakref.finalize(self, progress.stop.set)

    @property
    def state(self) -> State:
        """Where the work stands."""
        return self.progress.state

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.progress.state in ("done", "failed", "cancelled")

    @property
    def result(self) -> T:
        """What the work returned; only once its state is ``"done"``."""
        value: T = self.progress.result
        return value

    def cancel(self) -> None:
        """Stop at the next report of progress, or never start."""
        self.progress.stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over; False if the seconds passed before."""
        return self.progress.ended.wait(seconds)


@dataclass(frozen=True)
class Call:
    """A function and what it is given after its ``report``."""

    work: Callable[..., Any]
    args: tuple[Any, ...]


class Hands(Protocol):
    """What does the work of a lane, one call at a time."""

    def do(self, call: Call, progress: Progress) -> Any:
        """The result; raises ``Cancelled``, ``Failed``, or what the work raises."""

    def end(self) -> None:
        """Let go of whatever it holds."""


class Here:
    """Hands in this process: for what is quick, or already has a process of its own."""

    def do(self, call: Call, progress: Progress) -> Any:
        """Call it in the lane's own thread."""
        args = [arg.value if isinstance(arg, Shared) else arg for arg in call.args]
        return call.work(progress.report, *args)

    def end(self) -> None:
        """There is nothing to let go of."""


class Lane:
    """A queue in the order of arrival, served by one or more hands."""

    def __init__(self, name: str, hands: Hands | None = None) -> None:
        self._name = name
        self._waiting: deque[tuple[Progress, Call]] = deque()
        self._change = threading.Condition()
        self._busy: list[Progress] = []
        self._closed = False
        self.employ(hands or Here())

    def employ(self, hands: Hands) -> None:
        """Let further hands take from the queue."""
        threading.Thread(target=self._serve, args=(hands,), name=self._name, daemon=True).start()

    def submit(self, work: Callable[..., T], *args: object) -> Ticket[T]:
        """Queue ``work``.

        Args:
            work: gets a function to report progress with, and ``args``. Hands in another process
                need a function of a module, and arguments and results that can be pickled.
            args: one that is ``Shared`` arrives as its value, without a copy.
        """
        progress = Progress()
        with self._change:
            self._waiting.append((progress, Call(work, args)))
            self._change.notify()
        return Ticket(progress)

    def prepare(self, work: Callable[..., T]) -> Ticket[T]:
        """Queue work that no visitor asked for; nobody is told to wait for it."""
        ticket = self.submit(work)
        ticket.progress.counted = False
        return ticket

    def ahead(self, ticket: Ticket[Any]) -> int:
        """How many runs come before this one."""
        with self._change:
            queue = [
                progress
                for progress, _ in self._waiting
                if progress.counted and not progress.stop.is_set()
            ]
            if ticket.progress not in queue:
                return 0
            busy = sum(progress.counted for progress in self._busy)
            return queue.index(ticket.progress) + busy

    def close(self) -> None:
        """Take nothing further, and end the hands once they are done."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _serve(self, hands: Hands) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    break
                progress, call = self._waiting.popleft()
                self._busy.append(progress)
            try:
                _run(progress, call, hands)
            finally:
                with self._change:
                    self._busy.remove(progress)
                progress.ended.set()
            del progress, call  # an idle worker holds nobody's scan
        hands.end()


def _run(progress: Progress, call: Call, hands: Hands) -> None:
    if progress.stop.is_set():
        progress.state = "cancelled"
        return
    progress.state, progress.started = "running", time.perf_counter()
    outcome: State = "failed"
    try:
        progress.result = hands.do(call, progress)
        outcome = "done"
    except Cancelled:
        outcome = "cancelled"
    except Failed as failed:
        progress.failure = failed.failure
    except Exception as error:  # noqa: BLE001 - one run fails, the worker goes on to the next
        progress.failure = failure_of(error)
    finally:
        progress.finished = time.perf_counter()
        progress.state = outcome


def failure_of(error: Exception) -> Failure:
    """What the page says about an error that ended some work."""
    if isinstance(error, cz.CSpineZooError):
        return Failure(error.code, error.reason, error.file, error.hint)
    return _unexpected(error)


def _unexpected(error: Exception) -> Failure:
    """A failure of ours, told without what the message may hold of the user's files."""
    place = "".join(traceback.format_tb(error.__traceback__)[-4:])
    _log.error("a run failed with %s\n%s", type(error).__name__, place)
    if isinstance(error, MemoryError) or _speaks_of_memory(error):
        return Failure(
            "out_of_memory",
            "There was not enough memory for this study.",
            hint="Choose fewer variants, or crop the study to the neck, and run again.",
            details=place,
        )
    return Failure(
        "internal_error",
        f"The program failed with {type(error).__name__}; the study is not to blame.",
        hint="Run again; if it happens again, report it with the details below.",
        details=f"cspine_zoo {cz.__version__}, {type(error).__name__}\n{place}",
    )


def _speaks_of_memory(error: Exception) -> bool:
    words = str(error).lower()
    return "out of memory" in words or "can't allocate memory" in words  # CUDA, MPS; torch's CPU
