"""From stored values to Hounsfield units: ``stored * slope + intercept`` (PS3.3 C.11.1.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HU = NDArray[np.int16 | np.float32]
"""Hounsfield units as a volume holds them: int16 where all are whole and fit, else float32."""

AIR_HU: Final = -1024
"""Floor of HU and value of everything outside the reconstruction: what 12-bit scanners write."""

EXACT_BITS: Final = 24
"""Integers up to this size are exact in float32 (IEEE 754)."""

_INT16: Final = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class Rescale:
    """How stored values of some bits become HU.

    Attributes:
        slope: HU of one stored unit.
        intercept: HU of stored value 0.
        bits: of a stored value; 0 for floating point.
        signed: whether stored values may be negative.
    """

    slope: float
    intercept: float
    bits: int
    signed: bool

    @property
    def whole(self) -> bool:
        """Whether HU are whole numbers."""
        return bool(self.bits) and self.slope.is_integer() and self.intercept.is_integer()

    @property
    def fits_int16(self) -> bool:
        """Whether int16 holds all HU that these bits can give, once none is below air."""
        if not self.whole:
            return False
        least = -(1 << self.bits - 1) if self.signed else 0
        most = (1 << self.bits - self.signed) - 1
        highest = max(least * self.slope, most * self.slope) + self.intercept
        return highest <= _INT16.max

    def write(self, out: HU, stored: NDArray[np.number[Any]]) -> None:
        """Write the HU of ``stored`` to ``out``, never below air.

        Whole numbers stay exact: in float32 if they fit, else through float64 and one rounding.

        Args:
            out: int16 only if HU are whole.
            stored: of the same shape.

        Raises:
            OverflowError: ``out`` is int16 and HU are too high for it.
        """
        lowest = self._lowest(stored)
        if out.dtype == np.int16 and not self.fits_int16:
            highest = stored.max() if self.slope > 0 else stored.min()
            if float(highest) * self.slope + self.intercept > _INT16.max:
                raise OverflowError("HU beyond int16")
        if out.dtype == np.int16 and self.slope == 1 and lowest >= _INT16.min:
            # Modulo 2^16, in which values and their HU agree whatever type they come in.
            np.add(_low_word(stored), np.int16(_modulo_int16(self.intercept)), out=out)
        elif self.whole and self._exact_in_float32 and out.dtype == np.float32:
            np.copyto(out, stored, casting="same_kind")
            if self.slope != 1:
                np.multiply(out, np.float32(self.slope), out=out)
            np.add(out, np.float32(self.intercept), out=out)
        else:
            hu = stored.astype(np.float64) * self.slope + self.intercept
            np.maximum(hu, AIR_HU, out=hu)
            np.copyto(out, hu, casting="unsafe")
        if lowest < AIR_HU:
            np.maximum(out, out.dtype.type(AIR_HU), out=out)

    def _lowest(self, stored: NDArray[np.number[Any]]) -> float:
        """Lowest HU, found in a hundredth of np.maximum's time, which most slices do not need."""
        if not self.signed and self.bits and self.slope > 0 and self.intercept >= AIR_HU:
            return self.intercept
        lowest = stored.min() if self.slope > 0 else stored.max()
        return float(lowest) * self.slope + self.intercept

    @property
    def _exact_in_float32(self) -> bool:
        return abs(self.slope) * 2.0**self.bits + abs(self.intercept) <= 2.0**EXACT_BITS


def _low_word(stored: NDArray[np.number[Any]]) -> NDArray[np.int16]:
    """Whole numbers modulo 2^16; those of 16 bits are not copied."""
    if stored.dtype in (np.uint16, np.int16):  # of this machine's byte order
        return stored.view(np.int16)
    return stored.astype(np.int16, casting="unsafe")


def _modulo_int16(value: float) -> int:
    """The int16 that equals a whole number modulo 2^16."""
    return (int(value) - _INT16.min) % (1 << 16) + _INT16.min
