"""The reading process, ``python -m cspine_zoo.ct.child``: foreign bytes are opened here alone.

It takes a request as JSON from stdin, writes voxels into the memory that it was handed, answers
on stdout, and ends. Limits are set before the first foreign byte is read.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import PurePath
from typing import Final

from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.intake import describe, take_in
from cspine_zoo.ct.reply import Layout, write_failure, write_refusal, write_volume
from cspine_zoo.ct.voxels import SharedFile
from cspine_zoo.ct.workers import die_with_parent
from cspine_zoo.errors import StudyRejected, UsageError

MAX_MEMORY: Final = 10 << 30
"""Address space: the largest study, its voxels, and the decoders."""

MAX_CPU_SECONDS: Final = 300
"""1,500 slices of 512 x 512 in JPEG 2000, the slowest, take 65 s (``make bench-read``)."""

MAX_FILES: Final = 2048
"""Open files: each slice of a folder is mapped, which holds a descriptor, and series have 1,500."""


def main() -> None:
    """Serve one request."""
    answers = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders write there what they please
        os.dup2(silence, stream)
    request = json.load(sys.stdin)
    confine()
    reply = serve(request, SharedFile(int(sys.argv[1])))
    with os.fdopen(answers, "wb") as stdout:
        stdout.write(reply)


def confine() -> None:
    """Limit what this process can use, and let it end with its parent."""
    die_with_parent()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = {
        resource.RLIMIT_CPU: MAX_CPU_SECONDS,
        resource.RLIMIT_NOFILE: MAX_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":  # elsewhere the system does not keep to it
        limits[resource.RLIMIT_AS] = min(MAX_MEMORY, physical)
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # The soft limit alone ends a process by SIGXCPU, which can be told from other ends.
        resource.setrlimit(kind, (limit, hard if kind == resource.RLIMIT_CPU else limit))


def serve(request: dict[str, object], file: SharedFile) -> bytes:
    """Read the study that ``request`` names; the answer as ``reply`` writes it."""
    source, series = request["source"], request["series"]
    if not isinstance(source, str | list) or not isinstance(series, str | int | None):
        raise TypeError("a request holds a source and a series")
    try:
        ct = assemble(take_in(source), series, describe(source), file)
        return write_volume(ct, Layout.of(ct.voxels, file.offset(ct.voxels)))
    except (StudyRejected, UsageError) as error:
        return write_refusal(error)
    except Exception as error:  # noqa: BLE001 - the parent turns it into a refusal with its place
        return write_failure(error, _place(error))


def _place(error: Exception) -> str:
    """File and line of this package, innermost, where an error arose."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = PurePath(trace.tb_frame.f_code.co_filename)
        if "cspine_zoo" in path.parts:
            place = f"{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


if __name__ == "__main__":
    main()
