"""Section D, values and place: what is no HU, and where the volume lies."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.catalogue.case import Expectation, Refused, Section, read
from tests.catalogue.nifti_files import Change, Image, image_of, patched, saved
from tests.catalogue.workbench import Workbench

SECTION = Section("D")
add = SECTION.add

# Values.


def _values(change: Callable[[NDArray[Any]], NDArray[Any]], bench: Workbench) -> Path:
    return saved(bench, image_of(bench, change(np.asarray(bench.hu))))


def _spoilt(value: float, count: int, bench: Workbench) -> Path:
    hu = bench.hu.astype(np.float32)
    hu.ravel()[:count] = value
    path = saved(bench, image_of(bench, hu))
    hu.ravel()[:count] = -1024
    bench.expect(hu)
    return path


_ENDS: tuple[tuple[str, int, Expectation], ...] = (
    ("a few voxels", 20, read("not_finite")),
    ("many voxels", 2000, Refused("not_hu")),
)
for _name, _count, _end in _ENDS:
    add(f"{_name} not a number", _end)(partial(_spoilt, np.nan, _count))
    add(f"{_name} infinite", _end)(partial(_spoilt, np.inf, _count))

for _name, _change in (
    ("0 to 1", lambda hu: ((hu + 1000) / 2500).astype(np.float32)),
    ("0 to 255", lambda hu: ((hu + 1000) / 10).astype(np.uint8)),
    ("labels", lambda hu: (hu > 0).astype(np.uint8)),
    ("stored values without rescale", lambda hu: (hu + 1024).astype(np.uint16)),
    ("standardised to mean 0", lambda hu: ((hu - hu.mean()) / hu.std()).astype(np.float32)),
    ("one value everywhere", np.zeros_like),
    ("millions", lambda hu: hu.astype(np.float32) * 1e6),
):
    add(f"values that are not HU: {_name}", Refused("not_hu"))(partial(_values, _change))


@add("slope 0 means no scaling", read())
def _(bench: Workbench) -> Path:
    return patched(bench, 112, "<2f", 0, 777)


@add("slope not a number means no scaling", read())
def _(bench: Workbench) -> Path:
    return patched(bench, 112, "<2f", np.nan, np.nan)


@add("below air", read())
def _(bench: Workbench) -> Path:
    hu = bench.hu.copy()
    hu[0] = -3024
    path = saved(bench, image_of(bench, hu))
    hu[0] = -1024
    bench.expect(hu)
    return path


# Where the volume lies.


def _placed(change: Change, bench: Workbench) -> Path:
    image = image_of(bench)
    change(image)
    return saved(bench, image)


def _no_form(image: Any) -> None:
    image.set_sform(None, 0)
    image.set_qform(None, 0)


def _only_qform(image: Any) -> None:
    image.set_qform(image.affine, 1)
    image.set_sform(None, 0)


def _only_sform(image: Any) -> None:
    image.set_qform(None, 0)
    image.set_sform(image.affine, 1)


def _differ(image: Any) -> None:
    image.set_sform(image.affine, 1)
    image.set_qform(np.diag([-2.0, 2.0, 2.0, 1.0]), 1)


def _sform(matrix: NDArray[Any]) -> Change:
    def change(image: Any) -> None:
        image.set_qform(None, 0)
        image.set_sform(matrix, 1)

    return change


_SHEAR = np.diag([1.25, 1.5, 2.0, 1.0])
_SHEAR[0, 1] = 1.4
for _name, _change, _end in (
    ("neither qform nor sform", _no_form, Refused("orientation_unknown")),
    ("qform only", _only_qform, read()),
    ("sform only", _only_sform, read()),
    ("qform and sform differ", _differ, read("affines_differ")),
    ("singular affine", _sform(np.diag([1.0, 1.0, 0.0, 1.0])), Refused("bad_geometry")),
    ("sheared affine", _sform(_SHEAR), Refused("bad_geometry")),
    ("voxels of 1 km", _sform(np.diag([1e6, 1e6, 1e6, 1.0])), Refused("bad_geometry")),
):
    add(_name, _end)(partial(_placed, _change))


@add("affine of NaN", Refused("bad_geometry"))
def _(bench: Workbench) -> Path:
    return patched(bench, 280, "<12f", *[np.nan] * 12)


@add("zooms of 0 in the qform", Refused("bad_geometry"))
def _(bench: Workbench) -> Path:
    path = saved(bench, (image := image_of(bench)))
    _only_qform(image)
    path = saved(bench, image)
    data = bytearray(path.read_bytes())
    struct.pack_into("<3f", data, 80, 0, 0, 0)
    path.write_bytes(data)
    return path


def _units(unit: str, per_mm: float, bench: Workbench) -> Path:
    image = Image(bench.hu, np.diag([per_mm, per_mm, per_mm, 1.0]) @ bench.affine)
    image.header.set_xyzt_units(unit)
    return saved(bench, image)


add("metres", read("unit_assumed"))(partial(_units, "meter", 1e-3))
add("microns", read("unit_assumed"))(partial(_units, "micron", 1e3))
add("metres that claim to be mm", Refused("bad_geometry"))(partial(_units, "mm", 1e-3))
