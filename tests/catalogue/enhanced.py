"""Enhanced CT: one file, its geometry and rescale in functional groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.catalogue.workbench import Workbench, identified
from tests.ct.dicom_writer import Slice

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"


def item(**values: Any) -> list[Dataset]:
    """A sequence of one item."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


def write_enhanced(
    bench: Workbench,
    slices: Sequence[Slice],
    change: Callable[[Dataset], None] | None = None,
    *,
    name: str = "enhanced",
    shared: bool = True,
    **fields: Any,
) -> Path:
    """All slices in one file.

    Args:
        bench: where to write it.
        slices: one frame each, with an intercept of its own.
        change: applied to the data set before it is written.
        name: of the file.
        shared: orientation and spacing stand once, not with each frame.
        fields: of ``Study``.
    """
    ds = identified(**fields).dataset(slices[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    del ds.RescaleSlope, ds.RescaleIntercept
    ds.SOPClassUID, ds.NumberOfFrames = ENHANCED_CT, len(slices)
    common: dict[str, Any] = {
        "PixelMeasuresSequence": item(PixelSpacing=list(slices[0].spacing)),
        "PlaneOrientationSequence": item(ImageOrientationPatient=list(slices[0].orientation)),
    }
    ds.SharedFunctionalGroupsSequence = item(**(common if shared else {}))
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=item(ImagePositionPatient=list(one.position)),
            PixelValueTransformationSequence=item(
                RescaleSlope=1, RescaleIntercept=-1024 - one.number, RescaleType="HU"
            ),
            **({} if shared else common),
        )[0]
        for one in slices
    ]
    frames = [(one.hu + 1024 + one.number).astype("<u2") for one in slices]
    ds.PixelData = np.stack(frames).tobytes()
    if change is not None:
        change(ds)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    path = bench.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path
