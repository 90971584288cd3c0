"""Work over forked processes, each time from a fresh process: what a fork needs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROLOGUE = """
import os, signal
import cspine_zoo.ct.workers as w
w._processors = lambda: 3
main = os.getpid()
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROLOGUE + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_every_item_is_done_once_and_in_other_processes_too() -> None:
    told = run(
        "shares = w.divided(lambda share: [[n, os.getpid() == main] for n in share], 50)\n"
        "print(sorted(n for s in shares for n, _ in s) == list(range(50)), len(shares),\n"
        "      [s[0][1] for s in shares])"
    )
    assert told.stdout.split("\n")[0] == "True 3 [True, False, False]", told.stderr


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise MemoryError"])
def test_the_share_of_a_process_that_ended_is_done_again(end: str) -> None:
    told = run(
        "def work(share):\n"
        f"    if os.getpid() != main: {end}\n"
        "    return list(share)\n"
        "print(sorted(sum(w.divided(work, 64), [])) == list(range(64)))"
    )
    assert told.stdout == "True\n", told.stderr


def test_an_error_that_comes_again_is_this_process_own() -> None:
    told = run(
        "def work(share):\n"
        "    if 1 in share: raise KeyError('second share')\n"
        "    return list(share)\n"
        "w.divided(work, 64)"
    )
    assert told.returncode == 1
    assert "KeyError: 'second share'" in told.stderr


def test_few_items_are_not_worth_a_process() -> None:
    told = run("print(len(w.divided(list, 20)))")
    assert told.stdout == "1\n", told.stderr


def test_where_no_process_may_start_this_one_does_all() -> None:
    told = run(
        "def refuse(): raise BlockingIOError\n"
        "os.fork, before = refuse, len(os.listdir('/dev/fd'))\n"
        "print(sorted(sum(w.divided(list, 64), [])) == list(range(64)))\n"
        "print(len(os.listdir('/dev/fd')) == before)"
    )
    assert told.stdout == "True\nTrue\n", told.stderr


def test_processor_time_that_ran_out_is_not_spent_again() -> None:
    told = run(
        "w.divided(lambda share: os.getpid() != main and os.kill(os.getpid(), signal.SIGXCPU), 64)"
    )
    assert told.returncode == -signal.SIGXCPU
