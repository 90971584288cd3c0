"""What of a patient a scan shows: windows cut anywhere, heads, chests, and volumes with no neck."""

from __future__ import annotations

import numpy as np
import torch

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.synthetic.frame import Vector
from cspine_zoo.synthetic.scene import Scene

_GRID_MM = 2.0


def solid(scene: Scene, level: str) -> Vector:
    """World points (n, 3) in a vertebra, one for each 8 mm3 of it."""
    vertebra = scene.spine[level]
    axes = [torch.arange(a, b, _GRID_MM) for a, b in zip(*vertebra.bounds(), strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1).float()
    inside = vertebra.distance(vertebra.to_local(points)) < 0
    return np.asarray(scene.pose.to_scene(points[:, inside].T.numpy().astype(np.float64)))


def volume_mm3(scene: Scene, level: str) -> float:
    """Volume of a whole vertebra, wherever a scan may cut it."""
    return len(solid(scene, level)) * _GRID_MM**3


def ends_anywhere(
    rng: np.random.Generator, scene: Scene, length_mm: tuple[float, float]
) -> tuple[float, float]:
    """Bottom and top, world mm, of a scan that starts and stops wherever it happens to.

    Three in ten show the head, up to the vault; the others lie about the neck.
    """
    upper, lower = scene.world("C1")[2], scene.world("C7")[2]
    length = rng.uniform(*length_mm)
    if rng.random() < 0.3:
        top = upper + rng.uniform(80.0, 200.0)
        return max(top - length, lower - 60.0), top
    centre = rng.uniform(lower - 15.0, upper + 15.0)
    return centre - 0.5 * length, centre + 0.5 * length


def ends_without_neck(rng: np.random.Generator, scene: Scene) -> tuple[float, float]:
    """Bottom and top, world mm, of a scan of a head or of a chest alone."""
    if rng.random() < 0.5:
        bottom = max(solid(scene, level)[:, 2].max() for level in ("C1", "C2"))
        bottom += rng.uniform(4.0, 25.0)
        return bottom, bottom + rng.uniform(60.0, 150.0)
    top = min(solid(scene, level)[:, 2].min() for level in LEVELS) - rng.uniform(4.0, 15.0)
    return min(scene.world("T5")[2] - 10.0, top - 40.0), top


def centre_anywhere(rng: np.random.Generator, scene: Scene, height_mm: float) -> Vector | None:
    """World centre of a training window in head, girdle or chest, or at a vertebra's edge.

    Args:
        rng: stream of its own.
        scene: the patient.
        height_mm: of the window.

    Returns:
        None for the half of the windows that are placed as usual.
    """
    draw = rng.random()
    if draw < 0.5:
        return None
    if draw < 0.7:
        place = rng.uniform([-75, -100, 0], [75, 90, 195])
        return scene.pose.to_scene(scene.body.head.to_scene(place))
    if draw < 0.82:
        place = rng.uniform([-170, -60, -100], [170, 70, 25])
        return scene.pose.to_scene(scene.spine["T2"].frame.to_scene(place))
    level = LEVELS[int(rng.integers(len(LEVELS)))]
    side = float(rng.choice([-0.5, 0.5]))
    edge = np.array([0.0, 0.0, side * height_mm + rng.normal(0, 5.0)])
    return np.asarray(scene.world(level) + edge + rng.normal(0, [18.0, 18.0, 0.0]))
