"""The way in: a study in any packing to one ``CTVolume``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cspine_zoo.ct.inspection import Inspection, summarise
from cspine_zoo.ct.intake import Source, describe
from cspine_zoo.ct.isolate import read_apart
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import UsageError


def read_ct(source: Source, *, series: str | int | None = None) -> CTVolume:
    """Read one CT series in Hounsfield units.

    The same scan gives the same voxels from a zip, a folder, a list of files or NIfTI, whatever
    the order of the files, the compression or the direction of the acquisition. Voxels are never
    interpolated, but for single missing slices and for gantry tilt, both with a warning.

    The files are opened, parsed and decoded in a process of their own (see docs/reading.md).

    Args:
        source: a zip, a folder (read with all below it), one DICOM or NIfTI file, or a list of
            such. A single file's neighbours are not looked at.
        series: index (as ``inspect_study`` lists them) or Series Instance UID of the series to
            read; None for the best.

    Returns:
        HU as float32 in RAS order, at least -1024, and the grid in RAS+ mm of the patient.

    Raises:
        StudyRejected: the study cannot be read rightly; ``code`` is one of ``RULINGS``.
        UsageError: ``series`` names none of the study's series, or an argument has a wrong type.
    """
    if isinstance(series, bool) or not isinstance(series, str | int | None):
        raise UsageError("bad_series", "series is an index, a Series Instance UID, or None")
    start = time.perf_counter()
    ct = read_apart(_as_text(source), series, describe(source))
    return replace(ct, report=replace(ct.report, seconds=time.perf_counter() - start))


def inspect_study(source: Source, *, series: str | int | None = None) -> Inspection:
    """Read a study as ``read_ct`` does, and say what is in it.

    Args:
        source: as for ``read_ct``.
        series: as for ``read_ct``.

    Returns:
        Every series, the volume that is read, and all that was set aside.

    Raises:
        StudyRejected: the study cannot be read.
        UsageError: ``series`` names none of the study's series, or an argument has a wrong type.
    """
    ct = read_ct(source, series=series)
    return Inspection(ct.report, ct.geometry, summarise(ct.voxels))


def _as_text(source: Source) -> str | list[str]:
    if isinstance(source, str | Path):
        return os.fspath(source)
    if isinstance(source, Sequence) and all(isinstance(path, str | Path) for path in source):
        return [os.fspath(path) for path in source]
    raise UsageError("bad_source", "a study is a path, or a list of paths")
