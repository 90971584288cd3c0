"""The one form in which CT travels through the package."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import Geometry


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
        hu: float32, (I, J, K): I runs towards the patient's right, J anterior, K superior.
        geometry: grid of ``hu``; its affine maps to RAS+ mm of the patient.
        report: which files were used and skipped, and what was noticed.

    Raises:
        ValueError: ``hu`` is not float32, does not fit the geometry, or is not in RAS order.
    """

    hu: NDArray[np.float32]
    geometry: Geometry
    report: ReadReport = field(default_factory=ReadReport)

    def __post_init__(self) -> None:
        if self.hu.dtype != np.float32:
            raise ValueError(f"hu must be float32, not {self.hu.dtype}")
        if self.hu.shape != self.geometry.shape:
            raise ValueError(f"hu has shape {self.hu.shape}, its geometry {self.geometry.shape}")
        if self.geometry.orientation != "RAS":
            raise ValueError(f"axes must run RAS, not {self.geometry.orientation}")
