"""True masks made as rough as those that a segmenter gives, for crops without a segmenter."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.preprocess.crops import Box

_MASK_GRID_MM: Final = 2.5
_BOX_ERROR_MM: Final = 2.5
"""By how much a segmenter misjudges where a vertebra ends, up and down."""


def coarse_mask(
    mask: torch.Tensor, geometry: Geometry, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A mask as a segmenter on a coarse grid gives it: blocky, then smoothed, a little wrong."""
    step = [s / g for g, s in zip(geometry.spacing_mm, (_MASK_GRID_MM,) * 3, strict=True)]
    size = [max(2, round(n / f)) for n, f in zip(mask.shape, step, strict=True)]
    share = functional.interpolate(mask.float()[None, None], size=size, mode="area")
    wobble = torch.from_numpy(rng.normal(0, 0.18, size).astype(np.float32))
    coarse = (share + wobble > rng.uniform(0.35, 0.6)).float()
    fine = functional.interpolate(coarse, size=mask.shape, mode="trilinear", align_corners=False)
    near = functional.max_pool3d(mask.float()[None, None], 5, stride=1, padding=2) > 0
    return np.asarray(((fine > 0.5) & near)[0, 0].numpy())


def misjudged_box(box: Box, geometry: Geometry, rng: np.random.Generator) -> Box:
    """A box whose top and bottom lie a little wrong, as those of a predicted mask."""
    low, high = np.round(rng.uniform(-_BOX_ERROR_MM, _BOX_ERROR_MM, 2) / geometry.spacing_mm[2])
    start = int(np.clip(box[2].start + low, 0, geometry.shape[2] - 2))
    stop = int(np.clip(box[2].stop + high, start + 2, geometry.shape[2]))
    return box[0], box[1], slice(start, stop)
