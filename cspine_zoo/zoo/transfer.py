"""Having a job done by the courier, and ending it when it takes too long or is not wanted."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal

from cspine_zoo.errors import DownloadError
from cspine_zoo.fields import unbuild
from cspine_zoo.zoo.causes import Cause, cause_in
from cspine_zoo.zoo.watch import QUIET_VARIABLE, Deadline

Task = Literal["deliver", "list", "upload"]

_PACKAGES: Final = str(Path(__file__).resolve().parents[2])
_POLL_SECONDS: Final = 0.1

_START_SECONDS: Final = 30.0
"""Until the courier has loaded its libraries: they may come from a slow shared disk."""

_HUB_SETTINGS: Final = {
    # One host and plain HTTPS: firewalls know it, and its progress can be told.
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
_SILENT: Final = Cause("stalled", "it does not answer, or stopped answering")
_OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_AUTHORITIES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


_log = logging.getLogger(__name__)


def have_done(
    task: Task,
    job: Any,
    deadline: Deadline,
    tell: Callable[[int], None] | None = None,
    quiet_seconds: float | None = None,
) -> Any:
    """Let the courier carry out one job.

    Args:
        task: what kind of job it is.
        job: the dataclass that describes it.
        deadline: when to stop, and whether somebody asks for it.
        tell: called with the bytes so far, several times a second; what it raises ends the job.
        quiet_seconds: wait for the next byte; without it, as the deadline's watch says.

    Returns:
        What the job returned, as JSON brings it over.

    Raises:
        DownloadError: it failed, stalled, was cancelled or ran out of time; says why.
    """
    deadline.check()
    silence = _Silence(quiet_seconds or deadline.watch.patience.quiet_seconds)
    with _courier(task, job, silence.limit) as words:
        while True:
            deadline.check()
            if tell is not None:
                tell(silence.received)
            try:
                word = words.get(timeout=min(_POLL_SECONDS, deadline.left()))
            except queue.Empty:
                silence.check()
                continue
            if "done" in word:
                return word["done"]
            if "failed" in word:
                raise DownloadError(word["failed"], word["reason"])
            silence.hear(word)


class _Silence:
    """How long nothing new has come. Bytes that came before count for nothing.

    So a server that cuts the file at the same place again and again is found out, however
    busily the library starts anew.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.received = 0
        self._cause: Cause | None = None
        self._since = time.monotonic()
        self._patience = _START_SECONDS + limit  # until its first word

    def hear(self, word: dict[str, Any]) -> None:
        self._cause = cause_in(str(word.get("note", ""))) or self._cause
        received = int(word.get("received", -1))
        if self._patience > self.limit and received >= 0:
            _log.debug("the courier was ready after %.1f s", time.monotonic() - self._since)
        if received > self.received or (received == 0 and self._patience > self.limit):
            self.received = received
            self._since, self._patience = time.monotonic(), self.limit
        self.check()

    def check(self) -> None:
        if time.monotonic() - self._since <= self._patience:
            return
        code, reason = self._cause or _SILENT
        after = f" after {self.received:,} bytes" * bool(self.received)
        patient = f"; nothing new came for {self._patience:g} s ({QUIET_VARIABLE} sets how long)"
        raise DownloadError(code, reason + after + patient)


@contextlib.contextmanager
def _courier(task: Task, job: Any, limit: float) -> Iterator[queue.Queue[dict[str, Any]]]:
    """A courier at work; its words come through the queue, and the last one says how it ended."""
    try:
        process = subprocess.Popen(
            # -P: a file json.py in the working directory must not become part of it.
            [sys.executable, "-P", "-m", "cspine_zoo.zoo.courier"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(limit),
        )
    except OSError as error:
        reason = f"the process that fetches could not be started ({error.strerror})"
        raise DownloadError("courier_not_started", reason) from error
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise DownloadError("courier_not_started", "the process that fetches has no pipes")
    words: queue.Queue[dict[str, Any]] = queue.Queue()
    listener = threading.Thread(target=_listen, args=(process, stdout, words), daemon=True)
    try:
        listener.start()
        with contextlib.suppress(BrokenPipeError):  # it is dead already: the listener tells
            stdin.write(json.dumps({"task": task, "job": unbuild(job)}).encode() + b"\n")
            stdin.flush()
        yield words
    finally:
        process.kill()
        process.wait()
        listener.join()
        stdout.close()
        with contextlib.suppress(BrokenPipeError):
            stdin.close()


def _listen(
    process: subprocess.Popen[bytes], stdout: IO[bytes], words: queue.Queue[dict[str, Any]]
) -> None:
    for line in stdout:
        with contextlib.suppress(ValueError):  # half a line, when it is killed
            words.put(json.loads(line))
    status = process.wait()
    words.put({"failed": "courier_died", "reason": f"the fetching process ended with {status}"})


def _environment(limit: float) -> dict[str, str]:
    """What the courier inherits: proxies and tokens as they are, authorities for all libraries.

    Each library asks another variable for the organisation's authority.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OFFLINE}
    known = next((os.environ[name] for name in _AUTHORITIES if os.environ.get(name)), "")
    if Path(known).is_file():
        environment = dict.fromkeys(_AUTHORITIES, known) | environment
    seconds = str(max(1, int(limit / 2)))
    waits = dict.fromkeys(("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"), seconds)
    paths = [_PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])]
    path = {"PYTHONPATH": os.pathsep.join(paths)}
    return waits | _HUB_SETTINGS | environment | path
