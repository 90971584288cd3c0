"""The one form in which CT travels through the package."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.rescale import HU


@dataclass(frozen=True)
class SkippedFile:
    """A file of the study that was not used, and why."""

    file: str
    code: str
    reason: str


@dataclass(frozen=True)
class Notice:
    """Something about the study that its user should know; reading went on."""

    code: str
    message: str


@dataclass(frozen=True)
class SeriesSummary:
    """One series of the study: what it is, whether it was chosen, and why."""

    index: int
    modality: str
    n_files: int
    shape: tuple[int, ...] | None
    spacing_mm: tuple[float, ...] | None
    chosen: bool
    reason: str


@dataclass(frozen=True)
class ReadReport:
    """What reading did with every file that it was given."""

    used: tuple[str, ...] = ()
    skipped: tuple[SkippedFile, ...] = ()
    warnings: tuple[Notice, ...] = ()
    series: tuple[SeriesSummary, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class CTVolume:
    """CT in Hounsfield units on a RAS-ordered grid.

    Attributes:
        voxels: HU, (I, J, K): I runs towards the patient's right, J anterior, K superior; int16
            where all are whole numbers of its range, else float32, with any strides.
        geometry: grid of ``voxels``; its affine maps to RAS+ mm of the patient.
        report: which files were used and skipped, and what was noticed.

    Raises:
        ValueError: ``voxels`` are neither int16 nor float32, do not fit the geometry, or are not
            in RAS order.
    """

    voxels: HU
    geometry: Geometry
    report: ReadReport = field(default_factory=ReadReport)

    def __post_init__(self) -> None:
        if self.voxels.dtype not in (np.int16, np.float32):
            raise ValueError(f"HU must be int16 or float32, not {self.voxels.dtype}")
        if self.voxels.shape != self.geometry.shape:
            raise ValueError(
                f"voxels have the shape {self.voxels.shape}, their geometry {self.geometry.shape}"
            )
        if self.geometry.orientation != "RAS":
            raise ValueError(f"axes must run RAS, not {self.geometry.orientation}")

    @cached_property
    def hu(self) -> NDArray[np.float32]:
        """All voxels as float32, with positive strides; made when it is first asked for.

        It takes twice the memory of int16 voxels: what a part of the scan is enough for, and all
        that reads any number, takes ``voxels``.
        """
        running = min(self.voxels.strides) > 0
        return self.voxels.astype(np.float32, copy=not running)
