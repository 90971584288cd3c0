"""Reading in a process of its own: what a hostile file does there, it does to nobody else."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cspine_zoo.ct.codes import rejected
from cspine_zoo.ct.reply import read_reply
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError, StudyRejected

_PACKAGES: Final = str(Path(__file__).resolve().parents[2])

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Each thread of numpy's library would claim address space; reading multiplies no matrices."""

_KEEP_MEMORY: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
"""Else glibc gives each slice's buffers back, and takes them anew, page by page, for the next."""


def read_apart(source: str | Sequence[str], series: str | int | None, name: str) -> CTVolume:
    """Read a study in a fresh process with limits on memory, processor time and open files.

    Args:
        source: as for ``read_ct``, as strings.
        series: as for ``read_ct``.
        name: what to call the study in a refusal.

    Raises:
        StudyRejected: the study was refused, or the process died of it.
        UsageError: ``series`` names none of the study's series.
        CSpineZooError: no process could be started.
    """
    request = json.dumps({"source": source, "series": series}).encode()
    descriptor = _memory_file()
    try:
        child = _run(request, descriptor)
        if child.returncode != 0:
            raise _death(child.returncode, name)
        size = os.fstat(descriptor).st_size
        memory = memoryview(mmap.mmap(descriptor, size)) if size else memoryview(b"")
    finally:
        os.close(descriptor)  # the mapping keeps what it needs
    return read_reply(child.stdout, memory, name)


def _memory_file() -> int:
    """A file without a name; in memory where the system can, for /dev/shm may be small."""
    if sys.platform == "linux":
        return os.memfd_create("cspine-zoo-voxels")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _run(request: bytes, descriptor: int) -> subprocess.CompletedProcess[bytes]:
    paths = [_PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        return subprocess.run(
            # -P: a file json.py in the working directory must not become part of the reader.
            [sys.executable, "-P", "-m", "cspine_zoo.ct.child", str(descriptor)],
            input=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env={**os.environ, **_ONE_THREAD, **_KEEP_MEMORY, "PYTHONPATH": os.pathsep.join(paths)},
            check=False,
        )
    except OSError as error:
        raise CSpineZooError(
            "reader_not_started",
            f"the process that reads studies could not be started ({error.strerror})",
            hint="Free memory or processes, and try again.",
        ) from None


def _death(status: int, name: str) -> StudyRejected:
    if status == -signal.SIGXCPU:
        return rejected("too_slow", "reading used up its processor time", name)
    if status < 0:
        return rejected("reader_died", f"reading was ended by {signal.Signals(-status).name}", name)
    return rejected("reader_died", f"the reading process ended with status {status}", name)
