"""Studies to upload: each unlike the others, with a patient's name wherever one can stand."""

import zipfile
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

import cspine_zoo as cz
from tests.ct.dicom_writer import Study, acquire

CANARY: Final = "Zqcanary"
"""Part of every identifier; found nowhere but in what was sent."""

_TAGS: Final = {
    "PatientName": f"{CANARY}^Name",
    "PatientID": f"{CANARY}-ID",
    "PatientBirthDate": "19010203",
    "InstitutionName": f"{CANARY} Hospital",
    "ReferringPhysicianName": f"{CANARY}^Physician",
    "StudyDescription": f"{CANARY} study",
    "SeriesDescription": f"{CANARY} series",
    "AccessionNumber": f"{CANARY}-7",
    "DeviceSerialNumber": f"{CANARY}-8",
}
APART_MM: Final = 1000.0
"""From one study to the next, along the patient."""


SHAPE: Final = (840, 840, 40)
"""Voxels of the first study: 56 MB of int16."""

_LOW: Final = (62, 23, 32)
_SIZE: Final = (120, 120, 40)
"""Part of the sample with C4 to C6 and a little around them, so that a run takes seconds."""


def write_necks(folder: Path, count: int) -> list[Path]:
    """A part of the sample's neck ``count`` times, named after the patient.

    Args:
        folder: to write to.
        count: of studies; each has one column less than the one before and lies ``APART_MM``
            higher. The first is a zip of DICOM, the others are NIfTI.
    """
    ct = cz.read_ct(cz.sample_studies()[0].path)
    part = ct.hu[tuple(slice(n, n + size) for n, size in zip(_LOW, _SIZE, strict=True))]
    hu = part.repeat(SHAPE[0] // _SIZE[0], axis=0).repeat(SHAPE[1] // _SIZE[1], axis=1)
    spacing = np.multiply(ct.geometry.spacing_mm, np.divide(_SIZE, SHAPE))
    grid = ct.geometry.cropped(_LOW, _SIZE).with_spacing(spacing.tolist())
    paths = []
    for number in range(count):
        affine = grid.affine.copy()
        affine[2, 3] += APART_MM * number
        part = hu[: SHAPE[0] - number].astype(np.int16)
        write = _write_nifti if number else _write_zip
        paths.append(write(folder / f"{CANARY}_Name_{number}", part, affine))
    return paths


def _write_zip(stem: Path, hu: NDArray[np.int16], affine: NDArray[np.float64]) -> Path:
    files = Study(tags=dict(_TAGS)).write_all(acquire(hu, affine), stem, CANARY)
    path = stem.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, f"{CANARY}/{file.name}.dcm")
            file.unlink()
    return path


def _write_nifti(stem: Path, hu: NDArray[np.int16], affine: NDArray[np.float64]) -> Path:
    image = nib.Nifti1Image(hu, affine)
    for name in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[name] = f"{CANARY} {name}"
    path = stem.with_suffix(".nii")
    nib.save(image, path)
    return path
