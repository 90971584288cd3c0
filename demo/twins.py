"""The whole twin of a broken sample: the same neck without its fractures, made when asked for."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Final

import cspine_zoo as cz
from jobs import Report
from shared import Shared

_TWINS: Final = "--twins"
_OUT: Final = "--out"


def twin_of(sample: cz.SampleStudy) -> cz.SampleStudy | None:
    """What is known of a sample's twin before it is made; None if its command makes none."""
    if _TWINS not in shlex.split(sample.command) or not sample.truth:
        return None
    return replace(
        sample,
        name=f"{sample.name}-twin",
        title=f"{sample.title}: the whole twin",
        description=(
            "The same neck, scanner and noise with no fracture at all, so whatever a variant says "
            "differently is about the fractures. Made on this server when it is first chosen, "
            f"which takes about half a minute: {sample.command}"
        ),
        truth=dict.fromkeys(sample.truth, 0),
    )


class Nursery:
    """Where twins are made, each once a server; they show nobody."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cspine-zoo-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def read(self, report: Report, sample: cz.SampleStudy) -> Shared[cz.CTVolume]:
        """The twin of ``sample``; one call at a time.

        Raises:
            CSpineZooError: it could not be made, code ``twin_not_made``.
        """
        out = self._folder / sample.name
        if not (out / "train.csv").is_file():
            _make(report, sample, out)
        report("read", 0.0)
        return Shared(cz.read_ct(out / "train_images" / _whole(out / "train.csv")))


def _make(report: Report, sample: cz.SampleStudy, out: Path) -> None:
    words = shlex.split(sample.command)[1:]
    draft = Path(tempfile.mkdtemp(dir=out.parent))
    words[words.index(_OUT) + 1] = str(draft)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cspine_zoo", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it has processes of its own, and all are to end with it
    )
    try:
        while process.poll() is None:
            report("synthesize", 0.0)
            time.sleep(0.1)
    finally:
        if process.poll() is None:  # whoever asked for it has gone
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            shutil.rmtree(draft, ignore_errors=True)
    if process.returncode:
        raise cz.CSpineZooError(
            "twin_not_made",
            f"The command that makes this sample's twin ended with status {process.returncode}.",
            hint=f"Run it in a terminal to see why: {sample.command}",
        )
    draft.rename(out)


def _whole(table: Path) -> str:
    """The study of ``train.csv`` that has no fracture."""
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return next(row["StudyInstanceUID"] for row in rows if row["patient_overall"] == "0")
