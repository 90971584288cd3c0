"""Section C, enhanced multi-frame: geometry and rescale in functional groups."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from tests.catalogue.case import Refused, Section, read
from tests.catalogue.enhanced import LEGACY_CT, write_enhanced
from tests.catalogue.workbench import SERIES_UID, Workbench

SECTION = Section("C")
add = SECTION.add

# Enhanced multi-frame.

ENHANCED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("geometry in the shared group", {"shared": True}),
    ("geometry with every frame", {"shared": False}),
)
for _name, _fields in ENHANCED:
    add(f"multi-frame, {_name}", read())(
        partial(lambda fields, bench: write_enhanced(bench, bench.slices(), **fields), _fields)
    )


@add("multi-frame, frames shuffled", read())
def _(bench: Workbench) -> Path:
    slices = bench.slices()
    random.Random(1).shuffle(slices)
    return write_enhanced(bench, slices)


@add("multi-frame, in two files", read())
def _(bench: Workbench) -> Path:
    same = {"series_uid": SERIES_UID}
    write_enhanced(bench, bench.slices()[:9], name="study/a", **same)
    write_enhanced(bench, bench.slices()[9:], name="study/b", **same)
    return bench.folder / "study"


@add("multi-frame, converted from single images", read())
def _(bench: Workbench) -> Path:
    def legacy(ds: Dataset) -> None:
        ds.SOPClassUID = LEGACY_CT

    return write_enhanced(bench, bench.slices(), legacy)


def _changed(change: Callable[[Dataset], None], bench: Workbench) -> Path:
    return write_enhanced(bench, bench.slices(), change)


def _no_frames(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence


def _one_frame_less(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[5]


def _one_without_place(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence


def _one_without_rescale(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[5].PixelValueTransformationSequence


for _name, _change, _code in (
    ("no groups", _no_frames, "missing_tag"),
    ("fewer groups than frames", _one_frame_less, "bad_header"),
    ("a frame without position", _one_without_place, "missing_tag"),
    ("a frame without rescale", _one_without_rescale, "missing_tag"),
):
    add(f"multi-frame, {_name}", Refused(_code))(partial(_changed, _change))


@add("multi-frame localizer beside the scan", read(skipped=("localizer",)))
def _(bench: Workbench) -> Path:
    def scout(ds: Dataset) -> None:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]

    write_enhanced(bench, bench.slices()[:2], scout, name="study/scout")
    return bench.plain()
