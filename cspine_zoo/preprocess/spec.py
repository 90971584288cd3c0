"""How CT becomes a network's input: the part of a manifest row that travels with the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cspine_zoo.fields import build, unbuild


@dataclass(frozen=True)
class Window:
    """A HU window, as in DICOM Window Center and Width (PS3.3 C.11.2.1.2).

    ``level - width / 2`` HU maps to -1 and ``level + width / 2`` HU to 1; outside is clipped.
    """

    level: float
    width: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and 0 < self.width < math.inf):
            raise ValueError(f"a window needs a finite level and a positive width, not {self}")


@dataclass(frozen=True)
class Preprocess:
    """Everything between a ``CTVolume`` and the tensor that a network was trained on.

    Attributes:
        orientation: axis codes of the grid, such as ``"RAS"``.
        spacing_mm: voxel spacing of a segmenter's grid; None for crops.
        window: HU window.
        crop_mm: extent in mm along x and y of a vertebra's axial crop, the same for all; None for
            whole volumes, or where ``margin_mm`` says it.
        size_px: side of a crop's image in pixels.
        n_slices: slices taken along one vertebra.
        neighbour_mm: distance from a slice to its lower and upper neighbour channel.
        channels: what each input channel shows, in order.
        margin_mm: with it, a crop is the smallest square that holds the vertebra's mask and this
            much on every side: each vertebra fills its crop, at a scale of its own.

    Raises:
        ValueError: a length or a count is not positive, there is no channel, or a crop has both
            an extent and a margin.
    """

    orientation: str
    spacing_mm: tuple[float, float, float] | None
    window: Window
    crop_mm: tuple[float, float] | None
    size_px: int | None
    n_slices: int | None
    neighbour_mm: float | None
    channels: tuple[str, ...]
    margin_mm: float | None = None

    def __post_init__(self) -> None:
        if len(self.orientation) != 3 or not set(self.orientation) <= set("RLAPSI"):
            raise ValueError(f"orientation must be three axis codes, not {self.orientation!r}")
        if not self.channels:
            raise ValueError("channels must name at least one input channel")
        lengths = (*(self.spacing_mm or ()), *(self.crop_mm or ()))
        counts = (self.size_px, self.n_slices, self.neighbour_mm, self.margin_mm)
        if any(value is not None and not 0 < value < math.inf for value in (*lengths, *counts)):
            raise ValueError(f"lengths and counts must be positive, not {self}")
        if self.crop_mm is not None and self.margin_mm is not None:
            raise ValueError("a crop has either crop_mm or margin_mm")

    @classmethod
    def from_dict(cls, content: dict[str, Any], where: str = "preprocess") -> Preprocess:
        """From the JSON object of a manifest row.

        Args:
            content: the object; an unknown or missing key is an error.
            where: row and key, for messages.

        Raises:
            ManifestError: the object is not a preprocessing specification.
        """
        return build(cls, content, where)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that ``from_dict`` reads."""
        return unbuild(self)
