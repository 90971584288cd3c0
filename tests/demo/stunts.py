"""Things that workers are made to do in tests; they run in the worker's process."""

import ctypes
import os
import signal
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cspine_zoo as cz
from jobs import Report


def sum_up(report: Report, ct: cz.CTVolume) -> tuple[float, int]:
    """The voxels' sum, and whose process added them."""
    report("segment", 0.5)
    return float(ct.hu.sum(dtype=np.float64)), os.getpid()


def overwrite(report: Report, voxels: NDArray[Any]) -> float:
    """Write into what was handed over."""
    voxels[...] = 0
    return float(voxels.sum())


def kill_itself(report: Report, number: int) -> None:
    """As the system does when memory runs out, or as a decoder does by mistake."""
    if number == signal.SIGSEGV:
        ctypes.string_at(0)
    os.kill(os.getpid(), number)


def leave(report: Report) -> None:
    """End without a word."""
    os._exit(7)


def report_for_ever(report: Report) -> None:
    """Go on until the page has enough."""
    while True:
        report("segment", 0.1)
        time.sleep(0.01)


def hang(report: Report) -> None:
    """Never report again."""
    report("segment", 0.1)
    threading.Event().wait()


def refuse(report: Report) -> None:
    """Reject the study."""
    raise cz.StudyRejected("no_cervical_spine", "no cervical spine found", hint="Give a neck.")


def stumble(report: Report, patient: str) -> None:
    """Fail by a defect of ours, with a patient in the message."""
    raise ValueError(patient)
