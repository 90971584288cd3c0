"""Work divided over forked processes, which see all that this one has read.

Only for a process with one thread. What is forked inherits encoded slices and the shared file for
the voxels; nothing but a short answer travels back.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

MOST_PROCESSES: Final = 8
FEWEST_ITEMS: Final = 16
"""Fewer items a process are not worth its start of about 10 ms."""

_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>


def divided(work: Callable[[Sequence[int]], Any], count: int) -> list[Any]:
    """Do ``count`` items in several processes, as many as there are processors.

    Args:
        work: does the items of the given numbers; its result must fit JSON.
        count: of items.

    Returns:
        Results of all shares. The share of a process that died, failed or could not be started
        is done here, so that its end, or its error, becomes this process's own.
    """
    processes = max(1, min(_processors(), MOST_PROCESSES, count // FEWEST_ITEMS))
    shares = [range(n, count, processes) for n in range(processes)]
    forked = [_fork(work, share) for share in shares[1:]]
    results = [work(shares[0])]
    for share, process in zip(shares[1:], forked, strict=True):
        told = _answer(*process) if process else None
        results.append(work(share) if told is None else json.loads(told))
    return results


def die_with_parent() -> None:
    """End this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _answer(process: int, answer: int) -> bytes | None:
    """What a process answered; None if it died or failed."""
    with os.fdopen(answer, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        # Out of processor time; its share would take this process as long again.
        os.kill(os.getpid(), signal.SIGXCPU)
    return told if status == 0 else None


def _fork(work: Callable[[Sequence[int]], Any], share: Sequence[int]) -> tuple[int, int] | None:
    """A process at work on a share, and the descriptor from which its answer is read.

    None if the system allows no further process.
    """
    parent = os.getpid()
    answer, told = os.pipe()
    try:
        process = os.fork()
    except OSError:
        os.close(answer)
        os.close(told)
        return None
    if process:
        os.close(told)
        return process, answer
    status = 1
    try:  # from here on nothing may return into the code of the parent
        os.close(answer)
        die_with_parent()
        if os.getppid() == parent:
            with os.fdopen(told, "wb") as pipe:
                pipe.write(json.dumps(work(share)).encode())
            status = 0
    finally:
        os._exit(status)
