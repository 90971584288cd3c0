"""Where the inputs of the catalogue are made, and what a right reading of them gives."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.ct.dicom_writer import SPACING_MM, Slice, Study, acquire, phantom

STEP_MM: Final = 2.0
SLICES: Final = 24
"""A volume of 48 mm: one slice may be missing, and 40 mm are still there."""

STUDY_UID: Final = "1.2.826.0.1.3680043.8.498.1"
SERIES_UID: Final = "1.2.826.0.1.3680043.8.498.2"
"""Of the plain phantom; whatever else is written is of the same study, in a series of its own."""

MARKUP: Final = "<script>alert(1)</script>[x](y)\x1b[31m"
IDENTITY: Final[dict[str, Any]] = {
    "PatientName": "Canary^Name",
    "PatientID": "CanaryID",
    "PatientBirthDate": "19010203",
    "PatientComments": f"Canary {MARKUP}",
    "AccessionNumber": "CanaryNumber",
    "InstitutionName": "Canary Hospital",
    "ReferringPhysicianName": "Canary^Doctor",
    "StudyDescription": "Canary study",
    "SeriesDescription": f"Canary {MARKUP}",
    "StudyID": "Canary7",
}
"""Identifiers planted in every file: none may come out (DICOM PS3.15 annex E)."""

Edit = Callable[[bytes], bytes]
Voxels = NDArray[np.generic]


@cache
def neck() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The phantom of the reader's tests, made longer; not to be changed."""
    hu, affine = phantom()
    more = hu[:, :, 4 : 4 + SLICES - hu.shape[2]] + np.int16(1)  # no two slices are alike
    hu = np.concatenate([hu, more], axis=2)
    affine[2, 2] = STEP_MM
    hu.setflags(write=False)
    return hu, affine


def neck_hu() -> Voxels:
    """Voxels of the phantom."""
    return neck()[0]


def neck_affine() -> NDArray[np.float64]:
    """A copy of the phantom's affine."""
    return neck()[1].copy()


@cache
def plain_files() -> tuple[tuple[str, bytes], ...]:
    """Name and content of the phantom's files: axial, explicit little endian."""
    with TemporaryDirectory() as folder:
        paths = identified(series_uid=SERIES_UID).write_all(acquire(*neck()), Path(folder))
        return tuple((path.name, path.read_bytes()) for path in paths)


def identified(**fields: Any) -> Study:
    """A study with planted identifiers; ``tags`` of its own come on top."""
    tags = {**IDENTITY, **fields.pop("tags", {})}
    return Study(study_uid=STUDY_UID, tags=tags, **fields)


@dataclass
class Workbench:
    """An empty folder, and the volume that reading its input must give.

    Attributes:
        folder: where the input is written.
        hu: voxels in R, A, S order.
        affine: voxel to RAS+ mm.
        tolerance_hu: 0 for all that is not lossy.
        series: argument of ``read_ct``.
    """

    folder: Path
    hu: Voxels = field(default_factory=neck_hu)
    affine: NDArray[np.float64] = field(default_factory=neck_affine)
    tolerance_hu: float = 0.0
    series: str | int | None = None

    def expect(self, hu: Voxels, affine: NDArray[np.float64] | None = None) -> None:
        """Change what a right reading gives."""
        self.hu = hu
        self.affine = self.affine if affine is None else affine

    def slices(self, directions: str = "LPS") -> list[Slice]:
        """The expected volume, cut as ``directions`` says."""
        return acquire(self.hu, self.affine, directions)

    def file(self, name: str, content: bytes) -> Path:
        """Write one file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def plain(self, edit: Edit | None = None, name: str = "study") -> Path:
        """The phantom's files, each with its bytes edited, in a folder."""
        for file, content in plain_files():
            self.file(f"{name}/{file}", edit(content) if edit else content)
        return self.folder / name

    def write(self, slices: Iterable[Slice] | None = None, name: str = "study", **of: Any) -> Path:
        """A study in a folder; ``of`` are fields of ``Study``, tags their own ``tags``."""
        cut = self.slices() if slices is None else slices
        identified(**of).write_all(cut, self.folder / name)
        return self.folder / name

    def tagged(self, count: int = SLICES, **tags: Any) -> Path:
        """The phantom, or its first slices, with other tags; None deletes one."""
        return self.write(self.slices()[:count], tags=tags)

    def with_extra(self, count: int, **tags: Any) -> Path:
        """The phantom, and so many slices with other tags."""
        self.write(self.slices()[:count], "study/extra", tags=tags)
        return self.plain()

    def zip(
        self,
        files: Iterable[tuple[str | zipfile.ZipInfo, bytes]] | None = None,
        method: int = zipfile.ZIP_DEFLATED,
        name: str = "study.zip",
    ) -> Path:
        """A zip of these files, else of the phantom."""
        path = self.folder / name
        with zipfile.ZipFile(path, "w", method) as archive:
            for entry, content in plain_files() if files is None else files:
                archive.writestr(entry, content)
        return path

    def drop(self, *numbers: int) -> list[Slice]:
        """The slices of the phantom but for these, counted from 1."""
        return [one for one in self.slices() if one.number not in numbers]


def spacing_mm() -> tuple[float, float, float]:
    """Of the phantom."""
    return SPACING_MM[0], SPACING_MM[1], STEP_MM
