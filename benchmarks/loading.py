"""Loading checked weights against loading them unchecked; prints ratios (``make bench-load``).

Figures are processor seconds, the least of several turns: on a busy machine only they compare.
Cold is a fresh Python with its imports, warm is one that has loaded the same file before.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

import cspine_zoo as cz
from cspine_zoo.resources import weights_dir
from cspine_zoo.zoo.header import file_sha256

TURNS = 5
COLD_TURNS = 2
MEBIBYTES = 64


def own_seconds(work: Callable[[], object], turns: int = TURNS) -> float:
    """Processor seconds of this process."""
    return min(_spent(work, time.process_time) for _ in range(turns))


def others_seconds(words: list[str], turns: int = COLD_TURNS) -> float:
    """Processor seconds of a command."""

    def run() -> None:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    return min(_spent(run, _children) for _ in range(turns))


def _spent(work: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check_sha256() -> None:
    """The package's sha256 against the system's command."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "content"
        path.write_bytes(bytes(range(256)) * (MEBIBYTES * 4096))
        ours = MEBIBYTES / own_seconds(lambda: file_sha256(path))
        theirs = MEBIBYTES / others_seconds(["sha256sum", str(path)], TURNS)
    print(f"sha256 {ours:.0f} MiB/s, sha256sum {theirs:.0f}: {ours / theirs:.2f} of its speed")


def check_loading(name: str, path: Path) -> None:
    """``load_model`` against ``load_file`` of the same file."""
    plain = own_seconds(lambda: load_file(path))
    sha256 = own_seconds(lambda: file_sha256(path))
    loaded = own_seconds(lambda: cz.load_model(name, device="cpu"))
    bare = f"from safetensors.torch import load_file; load_file({str(path)!r})"
    ours = f"import cspine_zoo as cz; cz.load_model({name!r}, device='cpu')"
    cold_plain = others_seconds([sys.executable, "-c", bare])
    cold = others_seconds([sys.executable, "-c", ours])
    print(
        f"{name:24} warm {loaded:.3f} s, load_file {plain:.3f}: {loaded / plain:5.1f} x "
        f"(sha256 {sha256:.3f} s); cold {cold:.2f} s, load_file {cold_plain:.2f}: "
        f"{cold / cold_plain:.2f} x"
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    check_sha256()
    for row in cz.list_models():
        if row.available == "bundled":
            check_loading(row.name, weights_dir() / row.files[0].filename)


if __name__ == "__main__":
    main()
