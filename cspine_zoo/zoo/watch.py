"""Looking after a transfer: how far it is, how long it may take, and how to stop it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Final

from cspine_zoo.errors import DownloadError, UsageError

QUIET_VARIABLE: Final = "CSPINE_ZOO_TIMEOUT"
TOTAL_VARIABLE: Final = "CSPINE_ZOO_DEADLINE"


@dataclass(frozen=True)
class Arrived:
    """How far the transfer of one file is.

    Attributes:
        name: of the model.
        source: address that it comes from.
        received: bytes.
        size: bytes of the whole file.
    """

    name: str
    source: str
    received: int
    size: int


Progress = Callable[[Arrived], None]
"""Called several times a second while a file arrives; what it raises stops the transfer."""


@dataclass(frozen=True)
class Patience:
    """How long to wait.

    Attributes:
        quiet_seconds: for the next new byte of one source. Some proxies hold a file back until
            they have searched all of it for viruses: behind one, set it higher.
        total_seconds: for one file, over all its sources, their retries and other processes
            that fetch the same file.
    """

    quiet_seconds: float = 6.0
    total_seconds: float = 1800.0

    @classmethod
    def asked(cls) -> Patience:
        """As ``CSPINE_ZOO_TIMEOUT`` and ``CSPINE_ZOO_DEADLINE`` say, in seconds.

        Raises:
            UsageError: one of them is no positive number.
        """
        return cls(
            _seconds(QUIET_VARIABLE, cls.quiet_seconds), _seconds(TOTAL_VARIABLE, cls.total_seconds)
        )


def _seconds(variable: str, default: float) -> float:
    text = os.environ.get(variable, "").strip()
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise UsageError("wrong_seconds", f"{variable} must be a number of seconds, not {text!r}.")
    return seconds


class Watch:
    """What one transfer is told, and what it tells.

    Args:
        progress: told how far the file is.
        cancel: set it from anywhere to stop.
        patience: without it, what the environment says.
    """

    def __init__(
        self,
        progress: Progress | None = None,
        cancel: Event | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.progress = progress
        self.cancel = cancel
        self.patience = patience or Patience.asked()

    def start(self) -> Deadline:
        """The moment from which the total counts."""
        return Deadline(time.monotonic() + self.patience.total_seconds, self)


@dataclass(frozen=True)
class Deadline:
    """When one file's transfer must be over, whatever it tries."""

    moment: float
    watch: Watch

    def left(self) -> float:
        """Seconds that remain, not below zero."""
        return max(self.moment - time.monotonic(), 0.0)

    def over(self) -> bool:
        """Whether to stop now: cancelled, or out of time."""
        return self.left() == 0 or self.cancelled()

    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self.watch.cancel is not None and self.watch.cancel.is_set()

    def check(self) -> None:
        """Stop here if it is time to.

        Raises:
            DownloadError: cancelled (``cancelled``), or out of time (``deadline``).
        """
        if self.cancelled():
            raise DownloadError("cancelled", "The transfer was cancelled.")
        if self.left() == 0:
            seconds = self.watch.patience.total_seconds
            raise DownloadError(
                "deadline",
                f"The {seconds:g} seconds for this file are over.",
                hint=f"Set {TOTAL_VARIABLE} to more seconds.",
            )
