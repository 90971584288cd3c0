"""What is in a study, and what reading it gives: the object of ``cspine-zoo inspect --json``."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.rescale import HU
from cspine_zoo.ct.volume import ReadReport

_BLOCK: Final = 16
"""Planes hashed at a time: as many floats of a row as a cache line holds."""


@dataclass(frozen=True)
class HUSummary:
    """Figures of the voxels; ``sha256`` is taken over float32 in RAS order, C order."""

    min: float
    max: float
    mean: float
    sha256: str


@dataclass(frozen=True)
class Inspection:
    """A study, its series, the volume that is read from it, and all that was set aside."""

    report: ReadReport
    geometry: Geometry
    hu: HUSummary

    def to_dict(self) -> dict[str, Any]:
        """The object of ``cspine-zoo inspect --json``."""
        rows = []
        for series in self.report.series:
            row = asdict(series)
            row["shape"] = list(series.shape) if series.shape else None
            row["spacing_mm"] = list(series.spacing_mm) if series.spacing_mm else None
            rows.append(row)
        return {
            "series": rows,
            "volume": {
                "shape": list(self.geometry.shape),
                "spacing_mm": list(self.geometry.spacing_mm),
                "affine": self.geometry.affine.tolist(),
                "orientation": self.geometry.orientation,
                "hu": asdict(self.hu),
            },
            "skipped": [asdict(file) for file in self.report.skipped],
            "warnings": [asdict(notice) for notice in self.report.warnings],
        }


def summarise(voxels: HU) -> HUSummary:
    """Figures of a volume; the same scan in any packing gives the same ones."""
    digest = hashlib.sha256()
    total = 0.0
    for start in range(0, voxels.shape[0], _BLOCK):
        block = np.ascontiguousarray(voxels[start : start + _BLOCK], np.float32)
        digest.update(block.data)
        total += float(block.sum(dtype=np.float64))
    lowest, highest = float(voxels.min()), float(voxels.max())
    return HUSummary(lowest, highest, total / voxels.size, digest.hexdigest())
