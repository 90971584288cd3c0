"""Axial DICOM files of a volume: uncompressed, explicit little endian, no invented patient."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import UsageError
from cspine_zoo.rsna.boxes import file_number
from cspine_zoo.rsna.uids import deterministic_uid

RESCALE_INTERCEPT: Final = -1024.0
_INT16: Final = np.iinfo(np.int16)
_RAS_TO_LPS: Final = np.array([-1.0, -1.0, 1.0])  # DICOM PS3.3 C.7.6.2.1.1
_BONE_WINDOW: Final = (400, 1800)  # level and width, for viewers
_ORTHOGONAL: Final = 1e-4
_BLOCK: Final = 32  # slices turned at once: neighbours along K share a line of cache


def write_slices(folder: Path, ct: CTVolume, uid: str, slice_thickness_mm: float) -> None:
    """Write one file a slice, named by its number; number 1 is the uppermost slice.

    HU are rounded to whole numbers.

    Raises:
        UsageError: rows and columns are not at right angles, which DICOM cannot express.
    """
    columns, rows = ct.geometry.affine[:3, 0], ct.geometry.affine[:3, 1]
    cosine = columns @ rows / np.linalg.norm(columns) / np.linalg.norm(rows)
    if abs(cosine) > _ORTHOGONAL:
        raise UsageError("not_orthogonal", "DICOM slices need rows at right angles to columns.")
    shared = _shared(ct, uid, slice_thickness_mm)
    folder.mkdir(parents=True)
    for start in range(0, ct.geometry.shape[2], _BLOCK):
        block = _stored_values(ct.hu[:, :, start : start + _BLOCK])
        for k, pixels in enumerate(block, start):
            dataset = _slice(shared, ct.geometry, uid, k)
            dataset.PixelData = pixels.tobytes()
            dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)


def _shared(ct: CTVolume, uid: str, slice_thickness_mm: float) -> Dataset:
    """What every slice repeats; elements of type 2 that nobody can know stay empty."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyInstanceUID = uid
    dataset.SeriesInstanceUID = deterministic_uid(uid, "series")
    dataset.FrameOfReferenceUID = deterministic_uid(uid, "frame")
    dataset.PatientName = "Synthetic^Phantom"
    for keyword in ("PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        setattr(dataset, keyword, "")
    for keyword in ("ReferringPhysicianName", "StudyID", "AccessionNumber", "KVP"):
        setattr(dataset, keyword, None if keyword == "KVP" else "")
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "cspine_zoo synthetic"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "CSPINE"
    dataset.PatientPosition = "HFS"
    dataset.SeriesNumber, dataset.AcquisitionNumber = 1, 1
    dataset.Rows, dataset.Columns = ct.geometry.shape[1], ct.geometry.shape[0]
    dataset.PixelSpacing = _decimals([ct.geometry.spacing_mm[1], ct.geometry.spacing_mm[0]])
    dataset.SliceThickness = _decimals([slice_thickness_mm])[0]
    along_row = -ct.geometry.affine[:3, 0] / ct.geometry.spacing_mm[0] * _RAS_TO_LPS
    down_column = -ct.geometry.affine[:3, 1] / ct.geometry.spacing_mm[1] * _RAS_TO_LPS
    dataset.ImageOrientationPatient = _decimals([*along_row, *down_column])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", str(int(RESCALE_INTERCEPT))
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = (str(value) for value in _BONE_WINDOW)
    return dataset


def _slice(shared: Dataset, geometry: Geometry, uid: str, k: int) -> Dataset:
    size_i, size_j, size_k = geometry.shape
    number = file_number(k, size_k)
    dataset = copy.copy(shared)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = UID(deterministic_uid("cspine_zoo"))
    dataset.file_meta.ImplementationVersionName = "CSPINE_ZOO"
    dataset.SOPInstanceUID = deterministic_uid(uid, "slice", number)
    dataset.InstanceNumber = number
    # The first pixel is the patient's right front corner: the last voxel along I and J.
    corner = geometry.to_world([size_i - 1.0, size_j - 1.0, float(k)])
    dataset.ImagePositionPatient = _decimals(corner * _RAS_TO_LPS)
    dataset.SliceLocation = _decimals([corner[2]])[0]
    return dataset


def _stored_values(hu: NDArray[np.float32]) -> NDArray[np.int16]:
    """Pixels (K, rows, columns) of a slab (I, J, K)."""
    pixels = np.rint(hu.transpose(2, 1, 0)[:, ::-1, ::-1]) - np.float32(RESCALE_INTERCEPT)
    stored: NDArray[np.int16] = np.clip(pixels, _INT16.min, _INT16.max).astype("<i2", order="C")
    return stored


def _decimals(values: list[float] | NDArray[np.float64]) -> list[DSfloat]:
    """Decimal strings of at most 16 characters (DICOM PS3.5 6.2); no negative zero."""
    return [DSfloat(float(value) + 0.0, auto_format=True) for value in values]
