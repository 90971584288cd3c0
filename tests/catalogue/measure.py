"""A case in a process of its own, so that its time and its peak of memory are its own.

``python -m tests.catalogue.measure VOXELS`` takes a source and a series as JSON from stdin, writes
the voxels to the file VOXELS and answers as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from cspine_zoo.ct.intake import Source
from tests.catalogue.outcome import Outcome, attempt

ROOT = Path(__file__).parents[2]
PATIENCE = 120


class Measured(NamedTuple):
    """How a case ended, and what it took.

    Attributes:
        outcome: as its caller has it.
        peak_mb: largest resident memory of both, added up.
    """

    outcome: Outcome
    peak_mb: float


def measure(source: Source, series: str | int | None) -> Measured:
    """Read in a fresh process; a traceback or a hang there fails here."""
    listed = isinstance(source, Sequence) and not isinstance(source, str)
    request = {"source": [*map(str, source)] if listed else str(source), "series": series}
    with TemporaryDirectory() as folder:
        voxels = Path(folder) / "voxels.npz"
        done = subprocess.run(
            [sys.executable, "-m", "tests.catalogue.measure", str(voxels)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        reply: dict[str, Any] = json.loads(done.stdout)
        outcome = Outcome(**reply["outcome"])
        if voxels.exists():
            with np.load(voxels) as arrays:
                outcome.hu, outcome.affine = arrays["hu"], arrays["affine"]
    return Measured(outcome, reply["peak_mb"])


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    outcome = attempt(request["source"], request["series"])
    peak = _own_peak_mb() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if outcome.hu is not None and outcome.affine is not None:
        np.savez(sys.argv[1], hu=outcome.hu, affine=outcome.affine)
    outcome.hu = outcome.affine = None
    sys.stdout.write(json.dumps({"outcome": asdict(outcome), "peak_mb": peak}))


def _own_peak_mb() -> float:
    """Since this program began: ``ru_maxrss`` counts what its parent held before that."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak) / 1024


if __name__ == "__main__":
    main()
