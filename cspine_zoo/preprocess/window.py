"""Hounsfield units to the range that networks take."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.preprocess.spec import Window

FLOOR: Final = -1.0
"""What everything at or below the window becomes: air, and padding."""


def apply_window(hu: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Map the window's lower to upper end onto -1 to 1 and clip beyond; a new float32 array.

    >>> hu = np.array([-1000, -500, 400, 1300, 3000], np.float32)
    >>> apply_window(hu, Window(level=400, width=1800)).tolist()
    [-1.0, -1.0, 0.0, 1.0, 1.0]
    """
    scaled = hu * np.float32(2.0 / window.width)
    scaled -= np.float32(2.0 * window.level / window.width)
    return np.clip(scaled, FLOOR, 1.0, out=scaled)
