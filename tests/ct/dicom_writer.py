"""A small DICOM writer: phantoms acquired in any orientation, with every tag open to change."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

UNCOMPRESSED = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
ENCAPSULATED = (RLELossless, JPEGLSLossless, JPEG2000Lossless)
BY_GDCM = (JPEGLossless, JPEGLosslessSV1)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

SPACING_MM = (1.25, 1.5, 2.75)
SHAPE = (36, 34, 16)  # OpenJPEG encodes nothing below 32 x 32


def phantom(seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """HU of an asymmetric body, axes R, A, S, with a marker on the left, and its RAS+ affine."""
    hu = np.random.default_rng(seed).integers(-60, 60, SHAPE).astype(np.int16)
    hu[0], hu[:, 0], hu[:, :, 0] = -1000, -900, -950
    hu[2:9, 20:26, 9:13] = 1500  # low I is the patient's left in RAS
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = (-31.0, -22.0, 140.0)
    return hu, affine


ORIENTATIONS = tuple(
    "".join(pair[sign] for pair, sign in zip(axes, signs, strict=True))
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
)


@dataclass
class Slice:
    """One image of an acquisition, before it becomes a file."""

    hu: NDArray[np.int16]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    number: int


def acquire(
    hu: NDArray[np.int16], affine: NDArray[np.float64], directions: str = "LPS"
) -> list[Slice]:
    """Cut a RAS volume into slices whose columns, rows and slices run as ``directions`` says."""
    world = ["RL", "AP", "SI"]
    order = [next(n for n in range(3) if code in world[n]) for code in directions]
    volume, matrix = hu.transpose(order), affine.copy()
    matrix[:3, :3] = matrix[:3, order]
    for axis, code in enumerate(directions):
        if code in "LPI":
            volume = np.flip(volume, axis)
            matrix[:3, 3] += matrix[:3, axis] * (volume.shape[axis] - 1)
            matrix[:3, axis] *= -1
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = lps[:3, :2] / lengths[:2]
    return [
        Slice(
            np.ascontiguousarray(volume[:, :, k].T),
            tuple(float(v) for v in (lps @ [0, 0, k, 1])[:3]),
            tuple(float(v) for v in cosines.T.ravel()),
            (float(lengths[1]), float(lengths[0])),
            k + 1,
        )
        for k in range(volume.shape[2])
    ]


@dataclass
class Study:
    """Identifiers and pixel format shared by the files of a series."""

    syntax: str = ExplicitVRLittleEndian
    slope: float = 1.0
    intercept: float = -1024.0
    signed: bool = False
    bits_stored: int = 16
    bits_allocated: int = 16
    tags: dict[str, Any] = field(default_factory=dict)
    series_uid: str = field(default_factory=generate_uid)
    study_uid: str = field(default_factory=generate_uid)
    change: Callable[[Dataset, int], None] | None = None

    def dataset(self, one: Slice) -> Dataset:
        """The image as a pydicom data set, uncompressed."""
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE, generate_uid()
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, one.number
        ds.PatientID, ds.PatientName = "p1", "Canary^Name"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.study_uid, self.series_uid
        ds.ImagePositionPatient = [round(v, 6) for v in one.position]
        ds.ImageOrientationPatient = [round(v, 9) for v in one.orientation]
        ds.PixelSpacing = list(one.spacing)
        ds.SliceThickness = 99  # wrong on purpose: spacing comes from positions
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = one.hu.shape
        ds.BitsAllocated, ds.BitsStored = self.bits_allocated, self.bits_stored
        ds.HighBit = self.bits_stored - 1
        ds.PixelRepresentation = int(self.signed)
        ds.RescaleSlope, ds.RescaleIntercept = self.slope, self.intercept
        stored = np.round((one.hu - self.intercept) / self.slope)
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        kind = f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}"
        ds.PixelData = stored.astype(order + kind).tobytes()
        ds["PixelData"].VR = "OW"
        for keyword, value in self.tags.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        if self.change is not None:
            self.change(ds, one.number)
        return ds

    def write(self, one: Slice, path: Path) -> Path:
        """Write one image as a DICOM file."""
        ds = self.dataset(one)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if self.syntax in UNCOMPRESSED:
            ds.file_meta.TransferSyntaxUID = self.syntax
        elif self.syntax in ENCAPSULATED:
            ds.compress(self.syntax, generate_instance_uid=False)
        ds.save_as(path, enforce_file_format=True)
        if self.syntax in BY_GDCM:
            recode(path, self.syntax)
        return path

    def write_all(self, slices: Iterable[Slice], folder: Path, prefix: str = "IMG") -> list[Path]:
        """Write every image of an acquisition."""
        folder.mkdir(parents=True, exist_ok=True)
        return [self.write(one, folder / f"{prefix}{one.number:04d}") for one in slices]


def recode(path: Path, syntax: str) -> None:
    """Write a file in another transfer syntax, in place."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
