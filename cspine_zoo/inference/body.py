"""The part of a scan that holds the patient."""

from __future__ import annotations

from typing import Final

import numpy as np

from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.preprocess.crops import Box

BODY_HU: Final = -300.0
"""Between fat (-120 and above) and lung or foam (-500 and below)."""

_PROBE_MM: Final = 3.0
"""Voxels are looked at this far apart: the body is larger."""

_LEAST_MM2: Final = 150.0
"""A plane belongs to the body's box from this much tissue on; less is noise, a tube, a wire."""

_MARGIN_MM: Final = 6.0


def body_box(ct: CTVolume) -> Box | None:
    """The box of indices around tissue; None if the scan holds none.

    A table of metal or carbon is tissue to this rule: the box is never too small for it.
    """
    spacing = ct.geometry.spacing_mm
    steps = [max(1, int(_PROBE_MM / mm)) for mm in spacing]
    tissue = ct.voxels[:: steps[0], :: steps[1], :: steps[2]] > BODY_HU
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        probe_mm2 = float(np.prod([steps[other] * spacing[other] for other in others]))
        planes = np.flatnonzero(np.count_nonzero(tissue, axis=others) * probe_mm2 >= _LEAST_MM2)
        if not planes.size:
            return None
        margin = int(np.ceil(_MARGIN_MM / spacing[axis]))
        start = int(planes[0]) * steps[axis] - margin
        stop = int(planes[-1] + 1) * steps[axis] + margin
        box.append(slice(max(start, 0), min(stop, ct.voxels.shape[axis])))
    return box[0], box[1], box[2]
