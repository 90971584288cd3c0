"""Long work off the page: one queue with one worker, so that no run slows another down.

The worker never touches Streamlit. What it makes hangs on a ticket that only the session holds;
when the session lets go of the ticket, the work stops and its memory is free.
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
from typing import Any, Generic, Literal, TypeVar

import cspine_zoo as cz

T = TypeVar("T")
Report = Callable[[str, float], None]
State = Literal["queued", "running", "done", "failed", "cancelled"]

_log = logging.getLogger(__name__)


class _Cancelled(Exception):
    """Raised inside the work when nobody waits for it any more."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result, in words for the page."""

    code: str
    reason: str
    file: str = ""
    hint: str = ""
    details: str = ""


@dataclass
class Progress:
    """What worker and page both see of a run."""

    state: State = "queued"
    stages: dict[str, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    started: float | None = None
    finished: float | None = None
    failure: Failure | None = None
    result: Any = None

    def report(self, stage: str, fraction: float) -> None:
        """Note how far a stage is; ends the work if the ticket is gone."""
        if self.stop.is_set():
            raise _Cancelled
        self.stages[stage] = min(1.0, max(0.0, fraction))

    @property
    def seconds(self) -> float:
        """Time since the worker took it up."""
        if self.started is None:
            return 0.0
        return (self.finished or time.perf_counter()) - self.started


class Ticket(Generic[T]):
    """A session's hold on one piece of work."""

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


class Lane:
    """A queue with one worker thread: one model pass at a time, whoever asks."""

    def __init__(self, name: str) -> None:
        self._waiting: deque[tuple[Progress, Callable[[Report], Any]]] = deque()
        self._change = threading.Condition()
        self._busy = False
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def submit(self, work: Callable[[Report], T]) -> Ticket[T]:
        """Queue ``work``; it gets a function to report progress with."""
        progress = Progress()
        with self._change:
            self._waiting.append((progress, work))
            self._change.notify()
        return Ticket(progress)

    def ahead(self, ticket: Ticket[Any]) -> int:
        """How many runs come before this one."""
        with self._change:
            queue = [progress for progress, _ in self._waiting if not progress.stop.is_set()]
            if ticket.progress not in queue:
                return 0
            return queue.index(ticket.progress) + int(self._busy)

    def _serve(self) -> None:
        while True:
            with self._change:
                self._busy = False
                while not self._waiting:
                    self._change.wait()
                progress, work = self._waiting.popleft()
                self._busy = True
            _run(progress, work)
            del progress, work  # an idle worker holds nobody's scan


def _run(progress: Progress, work: Callable[[Report], Any]) -> None:
    if progress.stop.is_set():
        progress.state = "cancelled"
        return
    progress.state, progress.started = "running", time.perf_counter()
    outcome: State = "failed"
    try:
        progress.result = work(progress.report)
        outcome = "done"
    except _Cancelled:
        outcome = "cancelled"
    except cz.CSpineZooError as error:
        progress.failure = Failure(error.code, error.reason, error.file, error.hint)
    except Exception as error:  # noqa: BLE001 - one run fails, the worker goes on to the next
        progress.failure = _unexpected(error)
    finally:
        progress.finished = time.perf_counter()
        progress.state = outcome


def _unexpected(error: Exception) -> Failure:
    """A failure of ours, told without what the message may hold of the user's files."""
    place = "".join(traceback.format_tb(error.__traceback__)[-4:])
    _log.error("a run failed with %s\n%s", type(error).__name__, place)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
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
