"""Training crops for the classifiers: single vertebrae, each with its unbroken twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.preprocess.crops import bounding_box, crop_in_box
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.fracture import draw_fracture
from cspine_zoo.synthetic.patches import Anatomy, draw_shapes, shoulders
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scene import Scene

_FIELD_MM = 112.0
_MASK_GRID_MM = 2.5


@dataclass(frozen=True, eq=False)
class CropPair:
    """One vertebra twice: broken, and whole with the same noise.

    Attributes:
        level: of the vertebra.
        images: float32 (2, S, C, H, W), broken first.
        fracture_mm2: float32 (S,) area of the fracture on each slice of the broken one.
        seed: of the scene.
    """

    level: str
    images: np.ndarray
    fracture_mm2: np.ndarray
    seed: int


def draw_crop_pairs(
    seed: int, preprocess: Preprocess, anatomies: Sequence[Anatomy], label_map_share: float = 0.5
) -> list[CropPair]:
    """The seven vertebrae of one random patient, each broken and whole.

    The patient is scanned twice with the same noise. A random half of the levels is broken in
    the first scan, the other half in the second: every level is seen in both states, and what
    its neighbours look like says nothing about it.
    """
    rng = stream(seed, "crops")
    scene = Scene.draw(seed, draw_shapes(rng, anatomies, label_map_share))
    geometry = _field_of_view(rng, scene)
    acquisition = Acquisition.draw(rng, (geometry.spacing_mm[2], 1.3 * geometry.spacing_mm[2]))
    fractures = {
        level: draw_fracture(stream(seed, "fracture", level), level, scene.spine[level].shape)
        for level in LEVELS
    }
    first = {level for level in LEVELS if rng.random() < 0.5}
    crops: dict[tuple[str, bool], np.ndarray] = {}
    areas: dict[str, np.ndarray] = {}
    for broken in (first, set(LEVELS) - first):
        rendered = render(
            scene.with_fractures({level: fractures[level] for level in broken}), geometry
        )
        hu = acquisition.apply(
            rendered.hu, geometry.spacing_mm, seed, shoulders(scene, geometry)
        ).numpy()
        for level in LEVELS:
            box = bounding_box(rendered.labels.numpy() == LABEL_OF[level])
            if box is None:
                continue
            mask = coarse_mask(
                rendered.labels[box] == LABEL_OF[level], geometry, stream(seed, "mask", level)
            )
            crops[level, level in broken] = crop_in_box(hu, geometry, box, mask, preprocess).images
            if level in broken:
                fracture = rendered.fractures[box].numpy() == LABEL_OF[level]
                areas[level] = _fracture_area(fracture, geometry, box, preprocess, hu)
    return [
        CropPair(level, np.stack((crops[level, True], crops[level, False])), areas[level], seed)
        for level in LEVELS
        if (level, True) in crops and (level, False) in crops
    ]


def coarse_mask(mask: torch.Tensor, geometry: Geometry, rng: np.random.Generator) -> np.ndarray:
    """A mask as a segmenter on a coarse grid gives it: blocky, then smoothed, a little wrong."""
    step = [s / g for g, s in zip(geometry.spacing_mm, (_MASK_GRID_MM,) * 3, strict=True)]
    size = [max(2, round(n / f)) for n, f in zip(mask.shape, step, strict=True)]
    share = functional.interpolate(mask.float()[None, None], size=size, mode="area")
    wobble = torch.from_numpy(rng.normal(0, 0.18, size).astype(np.float32))
    coarse = (share + wobble > rng.uniform(0.35, 0.6)).float()
    fine = functional.interpolate(coarse, size=mask.shape, mode="trilinear", align_corners=False)
    near = functional.max_pool3d(mask.float()[None, None], 5, stride=1, padding=2) > 0
    return np.asarray(((fine > 0.5) & near)[0, 0].numpy())


def _fracture_area(
    fracture: np.ndarray,
    geometry: Geometry,
    box: tuple[slice, slice, slice],
    preprocess: Preprocess,
    hu: np.ndarray,
) -> np.ndarray:
    crop = crop_in_box(hu, geometry, box, fracture, replace(preprocess, channels=("mask",))).images[
        :, 0
    ]
    height, width = preprocess.crop_mm or (0.0, 0.0)
    return np.asarray(crop.sum(axis=(1, 2)) * (height * width / crop[0].size), dtype=np.float32)


def _field_of_view(rng: np.random.Generator, scene: Scene) -> Geometry:
    pixel, thickness = (
        float(rng.uniform(0.7, 0.95)),
        float(np.exp(rng.uniform(np.log(1.2), np.log(3.0)))),
    )
    ends = np.stack([scene.world("C1"), scene.world("C7")])
    low, high = ends.min(0), ends.max(0)
    side = max(_FIELD_MM, float((high - low)[:2].max()) + _FIELD_MM - 15.0)
    centre = 0.5 * (low + high) + np.array([0.0, -15.0, 0.0])
    bottom, top = low[2] - 24.0, high[2] + 18.0
    pixels, slices = round(side / pixel), round((top - bottom) / thickness)
    affine = np.diag([pixel, pixel, thickness, 1.0])
    affine[:3, 3] = [centre[0] - side / 2, centre[1] - side / 2, bottom]
    return Geometry((pixels, pixels, slices), affine)
