"""Section C, positions: order, direction, gaps, tilt, and how many slices there are."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.catalogue.case import Refused, Section, read
from tests.catalogue.studies import other
from tests.catalogue.workbench import STEP_MM, Workbench, plain_files

SECTION = Section("C")
add = SECTION.add

# Order and direction.


def _turned(directions: str, position: str, bench: Workbench) -> Path:
    return bench.write(bench.slices(directions), tags={"PatientPosition": position})


for _name, _directions, _position in (
    ("head first, supine", "LPS", "HFS"),
    ("from feet to head reversed", "LPI", "HFS"),
    ("feet first, supine", "RPI", "FFS"),
    ("head first, prone", "RAS", "HFP"),
    ("feet first, prone", "LAI", "FFP"),
    ("lying on the left side", "PRS", "HFDL"),
    ("sagittal", "PIL", "HFS"),
    ("coronal", "LIP", "HFS"),
    ("position tag that lies", "LPS", "FFP"),
):
    add(_name, read())(partial(_turned, _directions, _position))


@add("shuffled files and instance numbers", read())
def _(bench: Workbench) -> Path:
    slices = bench.slices()
    numbers = random.Random(4).sample(range(900), len(slices))
    for one, number in zip(slices, numbers, strict=True):
        one.number = number
    return bench.write(slices)


@add("instance numbers all alike", read())
def _(bench: Workbench) -> list[Path]:
    return sorted(bench.tagged(InstanceNumber=1).iterdir(), key=lambda path: path.name[::-1])


@add("slice thickness and spacing tags that lie", read())
def _(bench: Workbench) -> Path:
    return bench.tagged(SliceThickness=3, SpacingBetweenSlices=7, SliceLocation=1)


@add("oblique by 17 degrees", read())
def _(bench: Workbench) -> Path:
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])
    bench.expect(bench.hu, turn @ bench.affine)
    return bench.write()


# Gaps, jitter, tilt.


@add("one slice missing", read("gap_filled"))
def _(bench: Workbench) -> Path:
    hu = bench.hu.astype(np.float32)
    hu[:, :, 9] = (hu[:, :, 8] + hu[:, :, 10]) / 2
    path = bench.write(bench.drop(10))
    bench.expect(hu)
    return path


@add("three slices missing", Refused("gap"))
def _(bench: Workbench) -> Path:
    return bench.write(bench.drop(10, 11, 12))


@add("slices missing at both ends", read())
def _(bench: Workbench) -> Path:
    path = bench.write(bench.drop(1, 24))
    affine = bench.affine.copy()
    affine[2, 3] += STEP_MM
    bench.expect(bench.hu[:, :, 1:-1], affine)
    return path


def _moved(offset: Callable[[int], float], bench: Workbench, axis: int = 2) -> Path:
    slices = bench.slices()
    for one in slices:
        place = list(one.position)
        place[axis] += offset(one.number)
        one.position = tuple(place)
    return bench.write(slices)


def _inside(amount: float, number: int) -> float:
    """Every other slice, but for the first and the last."""
    return amount if number % 2 and 1 < number < 24 else 0.0


add("jitter of 1 %", read())(partial(_moved, partial(_inside, 0.01 * STEP_MM)))
add("positions rounded to 0.1 mm", read())(partial(_moved, partial(_inside, 0.05)))
add("jitter of 8 %", read("spacing_jitter"))(partial(_moved, partial(_inside, 0.08 * STEP_MM)))
add("jitter of 25 %", Refused("uneven_spacing"))(partial(_moved, partial(_inside, 0.5)))


@add("spacing that changes in the middle", Refused("uneven_spacing"))
def _(bench: Workbench) -> Path:
    return _moved(lambda number: 0.3 * STEP_MM * max(0, number - 12), bench)


def _tilted(sign: int, bench: Workbench) -> Path:
    """Each slice lies 0.4 pixels behind, or before, the one below; reading puts it there."""
    shift = 0.4
    path = _moved(lambda number: sign * shift * 1.5 * (number - 1), bench, axis=1)
    i, j, k = bench.hu.shape
    more = int(np.ceil(shift * (k - 1)))
    hu = np.full((i, j + more, k), -1024.0, np.float32)
    for n in range(k):
        # DICOM's y grows backwards, J forwards: what lies behind starts at a lower J.
        start = more - shift * n if sign > 0 else shift * n
        whole, part = int(start), start - int(start)
        air = np.full((i, j + more + 1), -1024.0)
        air[:, whole : whole + j] = bench.hu[:, :, n]
        hu[:, :, n] = (air * (1 - part) + np.roll(air, 1, axis=1) * part)[:, :-1]
    affine = bench.affine.copy()
    affine[1, 3] -= 1.5 * more if sign > 0 else 0.0
    bench.expect(hu, affine)
    bench.tolerance_hu = 0.01
    return path


add("tilted gantry, top backwards", read("tilt_corrected"))(partial(_tilted, 1))
add("tilted gantry, top forwards", read("tilt_corrected"))(partial(_tilted, -1))


@add("gantry tag that lies", read())
def _(bench: Workbench) -> Path:
    return bench.tagged(GantryDetectorTilt=-23.5)


@add("slices displaced at random", Refused("bad_geometry"))
def _(bench: Workbench) -> Path:
    offsets = np.random.default_rng(0).uniform(-90, 90, 25)
    return _moved(lambda number: float(offsets[number]), bench, axis=1)


# Too few, too many.


@add("one slice", Refused("too_few_slices"))
def _(bench: Workbench) -> Path:
    return sorted(bench.plain().iterdir())[0]


@add("15 slices", Refused("too_few_slices"))
def _(bench: Workbench) -> list[Path]:
    return sorted(bench.plain().iterdir())[:15]


@add("24 slices over 24 mm", Refused("too_few_slices"))
def _(bench: Workbench) -> Path:
    return bench.write(other(bench, 1.0, 24))


@add("1,501 slices", Refused("too_many_slices"))
def _(bench: Workbench) -> Path:
    """One file, again and again at another place."""
    data = plain_files()[0][1]
    at = data.index(b"\x20\x00\x32\x00DS")
    length = data[at + 6]
    for n in range(1501):
        place = f"0\\0\\{n}".encode().ljust(length)
        changed = data[: at + 8] + place + data[at + 8 + length :]
        bench.file(f"study/{n}", changed)
    return bench.folder
