"""Training crops for the classifiers: single vertebrae, each with its unbroken twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.preprocess.crops import Box, bounding_box, crop_in_box
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.fracture import draw_fracture
from cspine_zoo.synthetic.patches import Anatomy, draw_shapes, shoulders
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scene import Scene

_FIELD_MM = 112.0
_MASK_GRID_MM = 2.5
_BOX_ERROR_MM = 2.5
"""By how much a segmenter misjudges where a vertebra ends, up and down."""

MAP_PX: Final = 32
"""Pixels along each side of a fracture map."""


@dataclass(frozen=True, eq=False)
class CropPair:
    """One vertebra twice: broken, and whole with the same noise.

    Attributes:
        level: of the vertebra.
        images: float32 (2, S, C, H, W), broken first.
        fracture_map: float32 (S, M, M) share of the fracture in each cell of the broken one's
            slices, over the same field as the images.
        seed: of the scene.
    """

    level: str
    images: np.ndarray
    fracture_map: np.ndarray
    seed: int


def draw_crop_pairs(
    seed: int, preprocess: Preprocess, anatomies: Sequence[Anatomy], label_map_share: float = 0.5
) -> list[CropPair]:
    """The seven vertebrae of one random patient, each broken and whole.

    The patient is scanned twice with the same noise. A random half of the levels is broken in
    the first scan, the other half in the second: every level is seen in both states, and what
    its neighbours look like says nothing about it. The whole vertebra frames both crops:
    where a fragment lies moves neither.
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
    scans = []
    for levels in (first, set(LEVELS) - first):
        rendered = render(
            scene.with_fractures({level: fractures[level] for level in levels}), geometry
        )
        hu = acquisition.apply(
            rendered.hu, geometry.spacing_mm, seed, shoulders(scene, geometry)
        ).numpy()
        scans.append((hu, rendered))
    pairs = []
    for level in LEVELS:
        (broken_hu, broken), (whole_hu, whole) = scans if level in first else reversed(scans)
        frame = bounding_box(whole.labels.numpy() == LABEL_OF[level])
        if frame is None:
            continue
        box = _misjudged(frame, geometry, stream(seed, "box", level))
        images = [
            crop_in_box(
                hu,
                geometry,
                box,
                coarse_mask(labels[box] == LABEL_OF[level], geometry, stream(seed, "mask", level)),
                preprocess,
            ).images
            for hu, labels in ((broken_hu, broken.labels), (whole_hu, whole.labels))
        ]
        fracture = broken.fractures[box].numpy() == LABEL_OF[level]
        mapped = crop_in_box(
            broken_hu,
            geometry,
            box,
            fracture,
            replace(preprocess, channels=("mask",), size_px=MAP_PX),
        ).images[:, 0]
        pairs.append(CropPair(level, np.stack(images), mapped, seed))
    return pairs


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


def _misjudged(box: Box, geometry: Geometry, rng: np.random.Generator) -> Box:
    """A box whose top and bottom lie a little wrong, as those of a predicted mask."""
    low, high = np.round(rng.uniform(-_BOX_ERROR_MM, _BOX_ERROR_MM, 2) / geometry.spacing_mm[2])
    start = int(np.clip(box[2].start + low, 0, geometry.shape[2] - 2))
    stop = int(np.clip(box[2].stop + high, start + 2, geometry.shape[2]))
    return box[0], box[1], slice(start, stop)


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
