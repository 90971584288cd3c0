"""The page as its visitors meet it: seconds to the page and to results, memory of a session.

``python -m benchmarks.serving [VISITORS]`` starts the page as a user does and visits it over its
own protocol, without a browser: what a browser needs to draw comes on top. Times are wall time, so
the load of the machine is printed with them. A run is of every bundled classifier, whose results
come together.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.demo.patients import write_necks
from tests.demo.server import Server
from tests.demo.visitor import Visitor, with_own_study

VISITORS = 10
PATIENCE_SECONDS = 600.0
QUIET_SECONDS = 60.0
"""Within this time of the last page's closing, memory is to be back."""


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(visitor: Visitor) -> float:
    """Seconds from Run to the page with the result."""

    def work() -> None:
        visitor.press("Run")
        visitor.until(lambda text: "Take away" in text, PATIENCE_SECONDS)

    return seconds(work)


def one_by_one(server: Server) -> None:
    """What the first visitor of a server waits for, and what the next one."""
    for who in ("first visitor", "second visitor"):
        began = time.perf_counter()
        visitor = Visitor(server.address)
        page = time.perf_counter() - began
        visitor.until(lambda text: "Voxels" in text)
        study = time.perf_counter() - began
        print(f"{who}: page {page:.2f} s, sample read {study:.1f} s, result {run(visitor):.1f} s")
        visitor.close()


def many(server: Server, paths: Sequence[Path]) -> None:
    """As many visitors at once as there are studies."""
    base = settled_mb(server)
    with ThreadPoolExecutor(len(paths)) as pool:
        began = time.perf_counter()
        visits = list(pool.map(lambda path: with_own_study(server, path), paths))
        print(
            f"{len(paths)} uploads of 56 MB at once: all read {time.perf_counter() - began:.1f} s"
        )
        print(f"memory of a session with its study: {per_session(server, base, visits):.0f} MB")
        waits = sorted(pool.map(run, visits))
    print(f"{len(paths)} runs at once: first result {waits[0]:.1f} s, last {waits[-1]:.1f} s")
    print(f"memory of a session with its result: {per_session(server, base, visits):.0f} MB")
    for visitor in visits:
        visitor.close()
    left = seconds(lambda: wait_for_quiet(server, base))
    print(
        f"{left:.0f} s after the last has left: {server.memory_mb() - base:+.0f} MB against before"
    )


def per_session(server: Server, base: float, visits: Sequence[Visitor]) -> float:
    """Memory that each session adds."""
    return (settled_mb(server) - base) / len(visits)


def settled_mb(server: Server) -> float:
    """Memory once what was just done has been tidied up."""
    time.sleep(3)
    return server.memory_mb()


def wait_for_quiet(server: Server, base: float) -> None:
    """Until memory is back to ``base``, as far as it comes back in time."""
    end = time.monotonic() + QUIET_SECONDS
    while server.memory_mb() > base + 30 and time.monotonic() < end:
        time.sleep(1)


def main() -> None:
    """Print every figure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else VISITORS
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_necks(Path(folder), count)
        server = Server(Path(folder))
        try:
            one_by_one(server)
            print(f"memory of the server without visitors: {settled_mb(server):.0f} MB")
            many(server, paths)
        finally:
            server.stop()
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
