"""Reading a study against the least that it could cost; prints ratios (``make bench-read``).

Figures are processor seconds, the least of several turns: on a busy machine only they compare.
"""

from __future__ import annotations

import mmap
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.decode import decode
from cspine_zoo.ct.dicom import parse
from cspine_zoo.ct.intake import take_in
from cspine_zoo.ct.read import read_ct
from tests.ct.dicom_writer import Study, acquire

TURNS = 3
FEWEST_SLICES = 60
"""No less than 40 mm are read."""
SHAPE = (512, 512)


@dataclass(frozen=True)
class Cost:
    """Seconds of processor and wall time."""

    cpu: float
    wall: float


def cost(work: Callable[[], object], turns: int = TURNS) -> Cost:
    """The least of several turns, children included."""
    found = []
    for _ in range(turns):
        wall, cpu = time.perf_counter(), cpu_seconds()
        work()
        found.append((cpu_seconds() - cpu, time.perf_counter() - wall))
    return Cost(min(c for c, _ in found), min(w for _, w in found))


def cpu_seconds() -> float:
    """Processor time of this process and its children, to the microsecond."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def neck(
    slices: int, side: int = SHAPE[0], pixel_mm: float = 0.4
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """A body of soft tissue and bone with a scanner's noise: it compresses as CT does."""
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(*(np.linspace(-1, 1, side) for _ in range(2)), indexing="ij")
    plane = np.where(x**2 + y**2 < 0.6, 40.0, -1000.0)
    plane[x**2 + (y + 0.3) ** 2 < 0.02] = 700.0
    noise = rng.normal(0, 15, (side, side, slices))
    affine = np.diag([pixel_mm, pixel_mm, 0.7, 1.0])
    return (plane[:, :, None] + noise).clip(-1024, 3000).astype(np.int16), affine


def read_bytes(folder: Path) -> None:
    """The floor of the input: every byte, in memory."""
    _ = [path.read_bytes() for path in folder.iterdir()]


def copy_pixels(folder: Path) -> None:
    """The floor of all reading: what ends each file, mapped and added into fresh memory."""
    paths = sorted(folder.iterdir())
    hu = np.empty((len(paths), SHAPE[0] * SHAPE[1]), np.int16)
    for path, plane in zip(paths, hu, strict=True):
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        stored = np.frombuffer(data, np.int16, offset=len(data) - plane.nbytes)
        np.add(stored, np.int16(-1024), out=plane)


def pydicom_loop(folder: Path) -> None:
    """Every slice by pydicom, and none of them kept."""
    for path in folder.iterdir():
        _ = pydicom.dcmread(path).pixel_array


def pydicom_volume(folder: Path) -> None:
    """What a script would do: the same loop with a volume at its end, not even in order."""
    np.stack([pydicom.dcmread(path).pixel_array for path in folder.iterdir()])


def read_here(folder: Path) -> None:
    """All of reading but the process that it runs in."""
    assemble(take_in(folder), None, "")


def bare_codec(folder: Path) -> Callable[[], None]:
    """Decoding alone, of frames that were parsed before."""
    files = [parse(item.name, item.data) for item in take_in(folder) if hasattr(item, "data")]
    frames = [frame for file in files for frame in file.frames]

    def work() -> None:
        for frame in frames:
            decode(frame)

    return work


def peak_mb(code: str) -> float:
    """Peak resident memory of a fresh Python that runs ``code`` (Linux)."""
    told = "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    command = [sys.executable, "-c", f"{code}\n{told}"]
    done = subprocess.run(command, check=True, capture_output=True)
    return float(done.stdout) / 1024


def report_raw(folder: Path, slices: int) -> None:
    """An uncompressed folder: processor time and memory."""
    floor, least = cost(lambda: read_bytes(folder)), cost(lambda: copy_pixels(folder))
    loop, volume = cost(lambda: pydicom_loop(folder)), cost(lambda: pydicom_volume(folder))
    here, apart = cost(lambda: read_here(folder)), cost(lambda: read_ct(folder))
    volume_mb = slices * SHAPE[0] * SHAPE[1] * 2 / 2**20
    imports = (
        "from cspine_zoo.ct.assemble import assemble; from cspine_zoo.ct.intake import take_in"
    )
    base = peak_mb(imports)
    peak = peak_mb(f"{imports}\nassemble(take_in({str(folder)!r}), None, '')")
    print(f"raw, {slices} slices, {volume_mb:.0f} MB as int16")
    print(f"  its bytes into memory       {floor.cpu:6.2f} s")
    share = least.cpu / loop.cpu
    print(f"  pixels into fresh memory    {least.cpu:6.2f} s, {share:.2f} x pydicom loop")
    print(f"  pydicom loop                {loop.cpu:6.2f} s, nothing kept")
    print(f"  pydicom loop to a volume    {volume.cpu:6.2f} s")
    print(f"  read, in this process       {here.cpu:6.2f} s")
    print(f"    x pixels                  {here.cpu / least.cpu:6.2f}")
    print(f"    x bytes                   {here.cpu / floor.cpu:6.2f}")
    print(f"    x pydicom loop            {here.cpu / loop.cpu:6.2f}")
    print(f"    x pydicom loop to volume  {here.cpu / volume.cpu:6.2f}")
    print(f"  read_ct, in its own process {apart.cpu:6.2f} s, {apart.wall:.2f} s wall")
    print(f"  peak memory                 {peak:6.0f} MB, base + {(peak - base) / volume_mb:.2f} x")


def report_compressed(folder: Path, name: str, start: Cost) -> None:
    """A compressed folder against its codec on one thread; ``start`` of the process aside."""
    codec, apart = cost(bare_codec(folder)), cost(lambda: read_ct(folder))
    cpu, wall = apart.cpu - start.cpu, apart.wall - start.wall
    print(f"{name}: codec {codec.cpu:.2f} s")
    print(
        f"  start of process and codec  {start.cpu:6.2f} s, {start.wall:.2f} s wall, once a study"
    )
    print(f"  read, beyond that           {cpu:6.2f} s   {cpu / codec.cpu:.2f} x codec")
    print(f"  in wall time                {wall:6.2f} s   {codec.wall / wall:.2f} x as fast")


def quiet_cores(count: int = 2) -> float:
    """How much faster ``count`` threads of work without Python's lock are, here and now."""
    block = np.random.default_rng(1).random(4_000_000)

    def work(_: int) -> None:
        for _ in range(4):
            np.sort(block)

    one = cost(lambda: list(map(work, range(count))), 2).wall
    with ThreadPoolExecutor(count) as pool:
        return one / cost(lambda: list(pool.map(work, range(count))), 2).wall


def main(arguments: Sequence[str]) -> None:
    """Write studies to a temporary folder and read them."""
    slices = int(arguments[0]) if arguments else 300
    print(f"two threads are {quiet_cores():.2f} x as fast as one on this machine now")
    with tempfile.TemporaryDirectory() as root:
        raw = Path(root, "raw")
        Study(syntax=ExplicitVRLittleEndian).write_all(acquire(*neck(slices)), raw)
        report_raw(raw, slices)
        encoded = acquire(*neck(slices))
        tiny = acquire(*neck(FEWEST_SLICES, side=64, pixel_mm=2.0))
        for syntax in (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless):
            folder, small = Path(root, syntax), Path(root, f"{syntax}.tiny")
            Study(syntax=syntax).write_all(encoded, folder)
            Study(syntax=syntax).write_all(tiny, small)
            start = cost(partial(read_ct, small))
            report_compressed(folder, UID(syntax).name.split(",")[0], start)


if __name__ == "__main__":
    main(sys.argv[1:])
