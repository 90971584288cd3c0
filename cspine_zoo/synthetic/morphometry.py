"""Sizes of the vertebrae of an average adult, in mm.

References:
    Panjabi et al., Spine 16:861 (1991) for C3-C7 and Spine 16:888 (1991) for C1-C2: end plate
    width and depth, canal, transverse and spinous process; Panjabi et al., Spine 16:889 (1991)
    for T1-T5. Rounded; the generator varies them by far more than the rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class VertebraSize:
    """Half sizes of the body, reach of the processes and distance to the level below.

    Attributes:
        half_width, half_depth, half_height: of the vertebral body.
        canal_depth: front to back of the spinal canal.
        pillar_x: distance of the articular pillars from the midline.
        transverse_x: reach of the transverse processes.
        spinous: length behind the laminae.
        pitch: body centre to the body centre of the next lower level, along the spine.
    """

    half_width: float
    half_depth: float
    half_height: float
    canal_depth: float
    pillar_x: float
    transverse_x: float
    spinous: float
    pitch: float


SIZES: Final[Mapping[str, VertebraSize]] = {
    "C1": VertebraSize(12.0, 4.0, 5.5, 30.0, 20.0, 40.0, 3.0, 24.0),
    "C2": VertebraSize(9.0, 8.0, 9.0, 18.0, 18.0, 27.0, 15.0, 21.0),
    "C3": VertebraSize(9.0, 8.0, 6.6, 15.5, 21.0, 26.5, 14.0, 17.0),
    "C4": VertebraSize(9.4, 8.0, 6.5, 15.0, 21.5, 27.0, 14.0, 16.8),
    "C5": VertebraSize(9.8, 8.1, 6.4, 15.0, 22.0, 28.0, 15.0, 16.8),
    "C6": VertebraSize(10.6, 8.4, 6.5, 15.0, 22.5, 29.0, 20.0, 17.2),
    "C7": VertebraSize(11.6, 8.6, 7.2, 15.0, 22.5, 33.5, 29.0, 18.5),
    "T1": VertebraSize(13.0, 8.8, 8.0, 15.5, 18.0, 37.0, 32.0, 20.0),
    "T2": VertebraSize(12.5, 9.5, 8.6, 15.5, 16.0, 34.0, 32.0, 21.0),
    "T3": VertebraSize(12.2, 10.5, 8.9, 15.5, 15.0, 31.0, 32.0, 22.0),
    "T4": VertebraSize(12.3, 11.5, 9.2, 15.5, 14.0, 30.0, 33.0, 22.5),
    "T5": VertebraSize(12.6, 12.5, 9.5, 15.5, 13.5, 30.0, 34.0, 23.0),
}
"""From the skull down; order is the order along the spine."""

CHAIN: Final = tuple(SIZES)
