"""Training crops for the classifiers: single vertebrae, each with its unbroken twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
_HEIGHT_MM = {"C1": (-16.0, 16.0), "C2": (-21.0, 32.0)}
"""Lower and upper end of a vertebra in its own frame; C3-C7 take the default."""


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
    seed: int, count: int, preprocess: Preprocess, anatomies: Sequence[Anatomy], label_map_share: float = 0.5
) -> list[CropPair]:
    """``count`` different vertebrae of one random patient, each broken and whole."""
    rng = stream(seed, "crops")
    scene = Scene.draw(seed, draw_shapes(rng, anatomies, label_map_share))
    levels = [LEVELS[i] for i in rng.choice(7, size=count, replace=False)]
    thickness = float(np.exp(rng.uniform(np.log(1.1), np.log(3.0))))
    pixel = float(rng.uniform(0.65, 0.95))
    acquisition = Acquisition.draw(rng, (thickness, 1.3 * thickness))
    pairs = []
    for level in levels:
        geometry = _block(scene, level, pixel, thickness)
        fracture = draw_fracture(stream(seed, "fracture", level), level, scene.spine[level].shape)
        broken = scene.with_fractures({level: fracture})
        images, area = [], np.zeros(0, np.float32)
        for state in (broken, scene):
            rendered = render(state, geometry)
            hu = acquisition.apply(rendered.hu, geometry.spacing_mm, seed, shoulders(scene, geometry)).numpy()
            mask = coarse_mask(rendered.labels == LABEL_OF[level], geometry, stream(seed, "mask", level))
            box = bounding_box(mask)
            if box is None:
                break
            images.append(crop_in_box(hu, geometry, box, mask[box], preprocess).images)
            if state is broken:
                area = _fracture_area(rendered.fractures.numpy() == LABEL_OF[level], geometry, box, preprocess, hu)
        if len(images) == 2:
            pairs.append(CropPair(level, np.stack(images), area, seed))
    return pairs


def coarse_mask(mask: torch.Tensor, geometry: Geometry, rng: np.random.Generator) -> np.ndarray:
    """A mask as a segmenter on a coarse grid would give it: blocky, then smoothed, a little wrong."""
    step = [s / g for g, s in zip(geometry.spacing_mm, (_MASK_GRID_MM,) * 3, strict=True)]
    size = [max(2, round(n / f)) for n, f in zip(mask.shape, step, strict=True)]
    share = functional.interpolate(mask.float()[None, None], size=size, mode="area")
    wobble = torch.from_numpy(rng.normal(0, 0.18, size).astype(np.float32))
    coarse = (share + wobble > rng.uniform(0.35, 0.6)).float()
    fine = functional.interpolate(coarse, size=mask.shape, mode="trilinear", align_corners=False)
    near = functional.max_pool3d(mask.float()[None, None], 5, stride=1, padding=2) > 0
    return np.asarray(((fine > 0.5) & near)[0, 0].numpy())


def _fracture_area(
    fracture: np.ndarray, geometry: Geometry, box: tuple[slice, slice, slice], preprocess: Preprocess, hu: np.ndarray
) -> np.ndarray:
    only_mask = Preprocess(**{**preprocess.__dict__, "channels": ("mask",)})
    crop = crop_in_box(hu, geometry, box, fracture[box], only_mask).images[:, 0]
    height, width = preprocess.crop_mm or (0.0, 0.0)
    return np.asarray(crop.sum(axis=(1, 2)) * (height * width / crop[0].size), dtype=np.float32)


def _block(scene: Scene, level: str, pixel: float, thickness: float) -> Geometry:
    """A grid around one vertebra, a little larger than its crop."""
    frame = scene.spine[level].frame
    low, high = _HEIGHT_MM.get(level, (-23.0, 18.0))
    spine = np.array([[0.0, y, z] for y in (8.0, -45.0) for z in (low, high)])
    world = scene.pose.to_scene(frame.to_scene(spine))
    bottom, top = world[:, 2].min() - 4, world[:, 2].max() + 4
    centre = scene.pose.to_scene(frame.to_scene(np.array([0.0, -20.0, 0.0])))
    pixels, slices = round(_FIELD_MM / pixel), round((top - bottom) / thickness)
    affine = np.diag([pixel, pixel, thickness, 1.0])
    affine[:3, 3] = [centre[0] - _FIELD_MM / 2, centre[1] - _FIELD_MM / 2, bottom]
    return Geometry((pixels, pixels, slices), affine)
