"""Section C, series: which images belong together, and which are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from tests.catalogue.case import Refused, Section, read
from tests.catalogue.workbench import SERIES_UID, Workbench
from tests.ct.dicom_writer import Slice

SECTION = Section("C")
add = SECTION.add

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CLASS = "1.2.840.10008.5.1.4.1.1."

# What lies beside the scan, and what it is alone.

BESIDE: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("localizer", "localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
    ("dose page", "secondary_capture", {"SOPClassUID": CAPTURE, "Modality": "CT"}),
    ("MIP", "projection", {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}),
    ("rendering", "projection", {"ImageType": ["DERIVED", "SECONDARY", "VOLUME_RENDER"]}),
    ("segmentation", "not_image", {"Modality": "SEG", "SOPClassUID": CLASS + "66.4"}),
    ("contours", "not_image", {"Modality": "RTSTRUCT", "SOPClassUID": CLASS + "481.3"}),
    ("dose", "not_image", {"Modality": "RTDOSE", "SOPClassUID": CLASS + "481.2"}),
    ("dose report", "not_image", {"Modality": "SR", "SOPClassUID": CLASS + "88.67"}),
    ("presentation", "not_image", {"Modality": "PR", "SOPClassUID": CLASS + "11.1"}),
    ("MR", "not_ct", {"Modality": "MR", "SOPClassUID": CLASS + "4"}),
    ("PET", "not_ct", {"Modality": "PT", "SOPClassUID": CLASS + "128"}),
    ("radiograph", "not_ct", {"Modality": "DX", "SOPClassUID": CLASS + "1.1"}),
    ("cone beam CT", "not_ct", {"Modality": "CT", "SOPClassUID": CLASS + "13.1.2"}),
)


def _beside(tags: dict[str, Any], bench: Workbench) -> Path:
    return bench.with_extra(3, SeriesNumber=9, **tags)


def _alone(tags: dict[str, Any], bench: Workbench) -> Path:
    return bench.tagged(2, **tags)


for _name, _code, _tags in BESIDE:
    add(f"{_name} beside the scan", read(skipped=(_code,)))(partial(_beside, _tags))
    add(f"{_name} alone", Refused(_code))(partial(_alone, _tags))


@add("report without pixels", read(skipped=("not_image",)))
def _(bench: Workbench) -> Path:
    def bare(ds: Dataset, number: int) -> None:
        del ds.PixelData, ds.Rows, ds.Columns

    report = {"Modality": "SR", "SOPClassUID": CLASS + "88.33"}
    bench.write(bench.slices()[:1], "study/sr", tags=report, change=bare)
    return bench.plain()


@add("bolus monitoring beside the scan", read("files_rejected", skipped=("duplicate_position",)))
def _(bench: Workbench) -> Path:
    return _two(bench, _at_one_place(bench), SeriesNumber=2)


@add("bolus monitoring alone", Refused("duplicate_position"))
def _(bench: Workbench) -> Path:
    return bench.write(_at_one_place(bench))


def _at_one_place(bench: Workbench) -> list[Slice]:
    slices = bench.slices()
    for one in slices:
        one.position = slices[0].position
    return slices


# Several series.


def _two(bench: Workbench, slices: Iterable[Slice], **tags: Any) -> Path:
    """The phantom, and these slices as a second series of the same study."""
    bench.write(slices, "study/two", tags=tags)
    bench.plain(name="study/one")
    return bench.folder / "study"


def other(bench: Workbench, step_mm: float, count: int) -> list[Slice]:
    """A scan of air from the same place."""
    hu = np.full((36, 34, count), -900, np.int16)
    affine = bench.affine.copy()
    affine[2, 2] = step_mm
    return Workbench(bench.folder, hu, affine).slices()


@add("reformat beside the scan", read(skipped=("other_series",)))
def _(bench: Workbench) -> Path:
    kind = ["DERIVED", "SECONDARY", "MPR"]
    return _two(bench, other(bench, 1.0, 60), SeriesNumber=0, ImageType=kind)


@add("reformat alone", read("derived"))
def _(bench: Workbench) -> Path:
    return bench.tagged(ImageType=["DERIVED", "SECONDARY", "MPR"])


@add("thicker series beside the scan", read(skipped=("other_series",)))
def _(bench: Workbench) -> Path:
    return _two(bench, other(bench, 2.75, 17), SeriesNumber=0)


@add("sagittal series beside the scan", read(skipped=("other_series",)))
def _(bench: Workbench) -> Path:
    return _two(bench, bench.slices("PIL"), SeriesNumber=0)


@add("bone kernel beside soft tissue", read(skipped=("other_series",)))
def _(bench: Workbench) -> Path:
    soft = Workbench(bench.folder, bench.hu + np.int16(9), bench.affine).slices()
    bench.write(soft, "study/a", tags={"ConvolutionKernel": "B30f"})
    tags = {"ConvolutionKernel": "BONE", "SeriesNumber": 2}
    return bench.write(name="study/b", tags=tags).parent


def _asked(series: str | int, bench: Workbench) -> Path:
    path = _two(bench, other(bench, 2.75, 17), SeriesNumber=7, SeriesInstanceUID="1.2.3.77")
    hu = np.full((36, 34, 17), -900, np.int16)
    affine = bench.affine.copy()
    affine[2, 2] = 2.75
    bench.expect(hu, affine)
    bench.series = series
    return path


for _name, _series in (("number", 1), ("number as text", "1"), ("UID", "1.2.3.77")):
    add(f"second series asked for by {_name}", read(skipped=("other_series",)))(
        partial(_asked, _series)
    )
for _name, _series in (("a number", 5), ("a UID", "1.2.3"), ("nothing", "")):
    add(f"series asked for that is not there, by {_name}", Refused("unknown_series"))(
        partial(_asked, _series)
    )


def _mixed(tags: dict[str, Any], series: int | None, bench: Workbench) -> Path:
    bench.plain(name="study/one")
    bench.write(name="study/two", tags={"SeriesNumber": 2, **tags})
    bench.series = series
    return bench.folder


_OTHER = {"PatientID": "CanaryOther"}
_LATER = {"StudyInstanceUID": "1.2.3.4"}
add("two patients", Refused("several_patients"))(partial(_mixed, _OTHER, None))
add("two studies", Refused("several_studies"))(partial(_mixed, _LATER, None))
add("two patients, one asked for", read(skipped=("other_series",)))(partial(_mixed, _OTHER, 1))
add("two studies, one asked for", read(skipped=("other_series",)))(partial(_mixed, _LATER, 0))


@add("two patients under one series UID", Refused("several_patients"))
def _(bench: Workbench) -> Path:
    bench.plain(name="study/one")
    bench.write(name="study/two", tags=_OTHER, series_uid=SERIES_UID)
    return bench.folder


# One Series Instance UID over different images.


def _shared_uid(cut: Callable[[Workbench], list[Slice]], tags: dict[str, Any], bench: Workbench):
    bench.plain(name="study/one")
    bench.write(cut(bench), "study/two", tags=tags, series_uid=SERIES_UID)
    return bench.folder


def _smaller(bench: Workbench) -> list[Slice]:
    return Workbench(bench.folder, bench.hu[:32, :32, :22], bench.affine).slices()


def _narrower(bench: Workbench) -> list[Slice]:
    hu = bench.hu[:, :, :22] + np.int16(9)
    slices = Workbench(bench.folder, hu, bench.affine).slices()
    for one in slices:
        one.spacing = (1.4, 1.4)
    return slices


for _name, _cut in (
    ("two orientations", lambda bench: bench.slices("PIL")),
    ("two matrix sizes", _smaller),
    ("two pixel spacings", _narrower),
):
    add(f"{_name} under one series UID", read(skipped=("other_series",)))(
        partial(_shared_uid, _cut, {})
    )


@add("two acquisitions under one series UID", read(skipped=("other_series",)))
def _(bench: Workbench) -> Path:
    bench.write(name="study/one", tags={"AcquisitionNumber": 1}, series_uid=SERIES_UID)
    later = Workbench(bench.folder, bench.hu[:, :, :22] + np.int16(9), bench.affine).slices()
    bench.write(later, "study/two", tags={"AcquisitionNumber": 2}, series_uid=SERIES_UID)
    return bench.folder


@add("other pixels at the same positions", Refused("duplicate_position"))
def _(bench: Workbench) -> Path:
    def brighter(bench: Workbench) -> list[Slice]:
        return Workbench(bench.folder, bench.hu + np.int16(1), bench.affine).slices()

    return _shared_uid(brighter, {}, bench)


@add("every file twice", read(skipped=("duplicate",)))
def _(bench: Workbench) -> Path:
    bench.plain(name="copy")
    return bench.plain().parent


@add("every file once plain and once compressed", read(skipped=("duplicate",)))
def _(bench: Workbench) -> Path:
    folder = bench.plain()
    for path in sorted(folder.iterdir()):
        image = pydicom.dcmread(path)
        image.compress(JPEGLSLossless, generate_instance_uid=False)
        image.save_as(path.with_name(f"again-{path.name}"))
    return folder


@add("one file twice, under other identifiers", read(skipped=("duplicate",)))
def _(bench: Workbench) -> Path:
    bench.plain()
    bench.write(bench.slices()[:1], "study/again", series_uid=SERIES_UID)
    return bench.folder
