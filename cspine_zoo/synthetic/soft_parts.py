"""Vessels, glands, nodes and swelling: soft parts of the neck beside muscle and fat.

None of them is drawn for a fracture: a swollen neck may be whole, and twins share it, so that the
soft parts cannot give a fracture away.

Places, sizes, shares and densities are the project's own choice, wide rather than exact: from no
measurement and no book.

References:
    Calcified plaques are bright on CT from 130 HU on (Agatston et al. 1990, J Am Coll Cardiol 15,
    827-832); those drawn here begin well above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from torch import Tensor

from cspine_zoo.synthetic.distance import chain, ellipsoid
from cspine_zoo.synthetic.families import SOFT_PARTS
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.scene import Scene

ENHANCED_SHARE: Final = 0.4
"""Of the necks, with contrast in the vessels: the project's own choice, so that both are common."""

SWOLLEN_SHARE: Final = 0.25

_COURSE: Final = ("C2", "C3", "C4", "C5", "C6", "C7", "T1")


@dataclass(frozen=True, eq=False)
class SoftPart:
    """Something of one density.

    Attributes:
        distance: in scene mm, negative inside, at scene points (3, n).
        low, high: corners of a scene box around it.
        hu: its density.
        over_air: whether it bulges into the airway.
    """

    distance: Callable[[Tensor], Tensor]
    low: np.ndarray
    high: np.ndarray
    hu: float
    over_air: bool = False


def draw_soft_parts(scene: Scene) -> list[SoftPart]:
    """Soft parts of a scene, in the order in which they are painted; none without the family."""
    if SOFT_PARTS not in scene.families:
        return []
    rng = stream(scene.seed, SOFT_PARTS)
    enhanced = bool(rng.random() < ENHANCED_SHARE)
    artery = float(rng.uniform(150, 400)) if enhanced else float(rng.uniform(30, 60))
    vein = float(rng.uniform(60, 250)) if enhanced else artery + float(rng.normal(0, 4))
    parts = [
        *_vessels(scene, rng, (20.0, 27.0), (2.5, 4.0), artery),
        *_vessels(scene, rng, (28.0, 36.0), (3.0, 7.5), vein),
        *_glands(scene, rng, 60.0 * enhanced),
        *_nodes(scene, rng, 40.0 * enhanced),
    ]
    if rng.random() < SWOLLEN_SHARE:
        parts.append(_swelling(scene, rng))
    return parts


def _vessels(
    scene: Scene,
    rng: np.random.Generator,
    aside_mm: tuple[float, float],
    radius_mm: tuple[float, float],
    hu: float,
) -> list[SoftPart]:
    """One on each side along the neck, some with calcified walls."""
    parts = []
    for side in (-1.0, 1.0):
        aside, ahead = rng.uniform(*aside_mm), rng.uniform(2, 14)
        path = np.array(
            [
                _beside(scene, level, np.array([side * aside, ahead, 0]) + rng.normal(0, [2, 2, 0]))
                for level in _COURSE
            ]
        )
        radius = float(rng.uniform(*radius_mm))
        tube = partial(chain, path=path.tolist(), radius=radius)
        parts.append(SoftPart(tube, path.min(0) - radius, path.max(0) + radius, hu))
        if rng.random() < 0.3:  # where the carotid forks, at C3 or C4
            fork = path[int(rng.integers(1, 3))] + rng.normal(0, 0.5 * radius, 3)
            parts.append(_blob(fork, rng.uniform(0.6, 2.5, 3), float(rng.uniform(250, 1100))))
    return parts


def _glands(scene: Scene, rng: np.random.Generator, enhancement: float) -> list[SoftPart]:
    """Thyroid lobes, unless taken out, and the submandibular glands."""
    parts = []
    thyroid = float(rng.uniform(80, 130)) + enhancement
    if rng.random() < 0.9:
        for side in (-1.0, 1.0):
            place = np.array([side * rng.uniform(13, 18), rng.uniform(14, 22), 6.0])
            radii = np.array([8.0, 9.0, 22.0]) * rng.uniform(0.6, 1.6, 3)
            parts.append(_blob(_beside(scene, "C7", place), radii, thyroid))
    for side in (-1.0, 1.0):
        centre = scene.body.head.to_scene(np.array([side * 30.0, 38.0, -34.0]) + rng.normal(0, 3))
        radii = np.array([11.0, 15.0, 12.0]) * rng.uniform(0.7, 1.2, 3)
        parts.append(_blob(centre, radii, float(rng.uniform(0, 60)) + enhancement))
    return parts


def _nodes(scene: Scene, rng: np.random.Generator, enhancement: float) -> list[SoftPart]:
    """Lymph nodes along the vessels."""
    parts = []
    for _ in range(int(rng.poisson(5))):
        level, side = _COURSE[int(rng.integers(len(_COURSE)))], rng.choice([-1.0, 1.0])
        place = np.array([side * rng.uniform(26, 46), rng.uniform(-20, 18), rng.normal(0, 5)])
        hu = float(rng.uniform(25, 65)) + enhancement
        parts.append(_blob(_beside(scene, level, place), rng.uniform(2.5, 8.0, 3), hu))
    return parts


def _swelling(scene: Scene, rng: np.random.Generator) -> SoftPart:
    """Blood or oedema in front of the bodies of one to three levels."""
    level, thick = _COURSE[int(rng.integers(len(_COURSE)))], rng.uniform(4, 14)
    centre = _beside(scene, level, np.array([rng.normal(0, 4), 0.6 * thick, 0.0]))
    radii = np.array([rng.uniform(12, 26), thick, rng.uniform(12, 35)])
    return replace(_blob(centre, radii, float(rng.uniform(25, 75))), over_air=True)


def _beside(scene: Scene, level: str, place: np.ndarray) -> np.ndarray:
    """Scene point of a place in mm from the middle of a body's front wall."""
    vertebra = scene.spine[level]
    return vertebra.frame.to_scene(place + np.array([0.0, vertebra.size.half_depth, 0.0]))


def _blob(centre: np.ndarray, radii: np.ndarray, hu: float) -> SoftPart:
    field = partial(ellipsoid, centre=centre.tolist(), radii=radii.tolist())
    return SoftPart(field, centre - radii, centre + radii, hu)
