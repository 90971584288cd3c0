"""A worker in a process of its own: its death costs one run, and the next one finds another."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any, Final, NoReturn

from jobs import Call, Cancelled, Failed, Failure, Progress
from shared import pack

GRACE_SECONDS: Final = 5.0
"""How long a cancelled run may take to its next report before its process is ended."""

PATIENCE_SECONDS: Final = 900.0
"""How long a run may report nothing before it counts as stuck."""

_LOOK_SECONDS: Final = 0.1
"""How often a run is looked after: the longest that Cancel waits to be told."""

_MAIN: Final = Path(__file__).with_name("worker.py")

_log = logging.getLogger(__name__)


class WorkerProcess:
    """Hands in a fresh Python, which keeps the models that it has loaded.

    It starts at once and imports torch while nobody waits. It ends when this process does.

    Args:
        environment: variables that it gets besides this process's own.
        grace_seconds: as ``GRACE_SECONDS``.
        patience_seconds: as ``PATIENCE_SECONDS``.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = GRACE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._environment = dict(environment or {})
        self._grace = grace_seconds
        self._patience = patience_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._taken_up = False
        self._calls = 0
        self._start()

    @property
    def pid(self) -> int | None:
        """Its number among the system's processes; None if it could not be started."""
        return None if self._process is None else self._process.pid

    def do(self, call: Call, progress: Progress) -> Any:
        """Send the call, pass on what it reports, return what it returns."""
        while True:
            fresh = self._revive()
            self._taken_up = False
            try:
                self._send(call)
                return self._watch(progress)
            except (EOFError, ConnectionError):
                status = self._replace()
                # One that was dying while it was idle never took this up: the next one will.
                if self._taken_up or fresh:
                    _fail("worker_died", _death(status))

    def end(self) -> None:
        """End the process now, whatever it does."""
        self._stop()

    def _start(self) -> None:
        self._calls = 0
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, str(_MAIN), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment, "PYTHONPATH": _module_path()},
            )
        except OSError as error:
            _log.error("no worker process could be started: %s", error.strerror)
            self._process = None
            ours.close()
            return
        finally:
            theirs.close()
        self._connection = Connection(ours.detach())

    def _revive(self) -> bool:
        """Replace a process that died while nobody needed it; whether this is its first call."""
        if self._process is None or self._process.poll() is not None:
            self._replace()
        if self._process is None:
            _fail("worker_not_started", "The process that runs models could not be started.")
        self._calls += 1
        return self._calls == 1

    def _stop(self) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.kill()
        self._connection.close()
        return self._process.wait()

    def _replace(self) -> int:
        """End what is left of the process, start another; the exit status of the first."""
        if self._process is not None:
            try:  # a dying process closes its connection a moment before it can be waited for
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                _log.warning("a worker process is ended")
        status = self._stop()
        self._start()
        return status

    def _send(self, call: Call) -> None:
        data, files = pack(call)
        self._connection.send(("call", len(files)))
        self._connection.send_bytes(data)
        for file in files:
            send_handle(self._connection, file, self.pid)

    def _watch(self, progress: Progress) -> Any:
        heard, told = time.monotonic(), 0.0
        while True:
            if self._connection.poll(_LOOK_SECONDS):
                kind, content = self._connection.recv()  # the end of the line is no answer
                heard, self._taken_up = time.monotonic(), True
                if kind == "done":
                    return content
                _heed(kind, content, progress)
            now = time.monotonic()
            if progress.stop.is_set() and not told:
                told = now
                self._connection.send(("cancel", 0))
            elif told and now - told > self._grace:
                self._restart()
                raise Cancelled
            elif now - heard > self._patience:
                self._restart()
                reason = f"The run reported nothing for {self._patience:.0f} s and was ended."
                _fail("worker_stuck", reason)

    def _restart(self) -> None:
        self._stop()
        self._start()


def _heed(kind: str, content: Any, progress: Progress) -> None:
    """Act on what a worker says before it is done."""
    if kind == "progress":
        progress.note(*content)
    elif kind == "cancelled":
        raise Cancelled
    elif kind == "failed":
        raise Failed(content)


def _fail(code: str, reason: str) -> NoReturn:
    hint = (
        "Run again: another process takes its place. If it happens again, choose fewer variants, "
        "or crop the study to the neck."
    )
    raise Failed(Failure(code, reason, hint=hint))


def _module_path() -> str:
    """What can be imported here can be imported there, but for the working directory's files."""
    return os.pathsep.join(filter(None, sys.path))


def _death(status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        why = " Most often the machine was out of memory." if name == "SIGKILL" else ""
        return f"The process that ran this was ended by {name}.{why}"
    return f"The process that ran this ended with status {status}."
