"""What spoils a scan: metal with its streaks, hardened beams, a patient who moves, devices.

All of it depends on the scene's seed and on places in the patient, so that twins share it; no
label changes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.families import BEAM_HARDENING, DEVICES, METAL, MOTION
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.scene import Scene

METAL_HU: Final = 3000.0


def spoiled(scene: Scene, geometry: Geometry, hu: Tensor) -> Tensor:
    """HU (I, J, K) of a rendered scene with the artefacts of its families."""
    if DEVICES in scene.families:
        hu = _with_devices(scene, geometry, hu)
    if BEAM_HARDENING in scene.families:
        hu = _with_dark_bands(scene, geometry, hu)
    if METAL in scene.families:
        hu = _with_metal(scene, geometry, hu)
    if MOTION in scene.families:
        hu = _with_motion(scene, geometry, hu)
    return hu


def _axes(geometry: Geometry, device: torch.device) -> list[Tensor]:
    """World mm along each axis of a grid, shaped to be broadcast; grids are not oblique."""
    axes = []
    for axis, count in enumerate(geometry.shape):
        steps = torch.arange(count, dtype=torch.float32, device=device)
        places = float(geometry.affine[axis, 3]) + float(geometry.affine[axis, axis]) * steps
        axes.append(places.reshape([-1 if a == axis else 1 for a in range(3)]))
    return axes


def _with_devices(scene: Scene, geometry: Geometry, hu: Tensor) -> Tensor:
    """A table or head rest behind the patient, a tube in the throat, a collar's plastic in front.

    They are painted over air only: none grows into the patient.
    """
    rng = stream(scene.seed, DEVICES)
    x, y, z = _axes(geometry, hu.device)
    middle, air = scene.world("C5"), hu < -600
    if rng.random() < 0.6:
        top = middle[1] - rng.uniform(70, 130)
        bend, thick = rng.uniform(0, 0.004), rng.uniform(4, 25)
        below = top + bend * (x - middle[0]).square() - y
        rest = ((below > 0) & (below < thick)).expand(hu.shape)
        shell = ((below > 0) & (below < 1.5)).expand(hu.shape)
        hu = torch.where(rest & air, rng.uniform(-950, -500), hu)
        hu = torch.where(shell & air, rng.uniform(-200, 250), hu)
    if rng.random() < 0.5:
        reach, height = rng.uniform(50, 85), rng.uniform(20, 60)
        away = ((x - middle[0]).square() + (y - middle[1] - 10).square()).sqrt() - reach
        collar = (away.abs() < rng.uniform(1, 4)) & ((z - middle[2]).abs() < height)
        hu = torch.where(collar & air, rng.uniform(-600, 150), hu)
    if rng.random() < 0.25:
        front = middle[1] + rng.uniform(14, 28)
        away = ((x - middle[0] - rng.normal(0, 3)).square() + (y - front).square()).sqrt()
        tube = ((away - rng.uniform(3, 5.5)).abs() < 0.8).expand(hu.shape)
        hu = torch.where(tube & air, rng.uniform(50, 300), hu)
    return hu


def _with_dark_bands(scene: Scene, geometry: Geometry, hu: Tensor) -> Tensor:
    """Dark bands from side to side, between the shoulders and under the skull base."""
    rng = stream(scene.seed, BEAM_HARDENING)
    if rng.random() < 0.4:
        return hu
    _, y, z = _axes(geometry, hu.device)
    shoulders = torch.sigmoid((scene.world("C7")[2] + rng.normal(0, 10) - z) / 9.0)
    base = torch.exp(-((z - scene.world("C1")[2] - rng.normal(10, 8)) / 9.0).square())
    loss = torch.zeros(1, device=hu.device)
    for strength, where, level in ((90.0, shoulders, "C7"), (60.0, base, "C1")):
        for _ in range(int(rng.integers(1, 4))):
            centre = scene.world(level)[1] + rng.normal(-10, 20)
            band = torch.exp(-((y - centre) / rng.uniform(4, 22)).square())
            loss = loss + rng.uniform(0, strength) * where * band
    return torch.where(hu > -600, hu - loss, hu)


def _with_metal(scene: Scene, geometry: Geometry, hu: Tensor) -> Tensor:
    """Fillings in the teeth of one patient in three, screws in the spine of one in thirty."""
    rng = stream(scene.seed, METAL)
    fillings = int(rng.integers(1, 7)) if scene.body.jaw and rng.random() < 0.35 else 0
    screws = 2 * int(rng.integers(1, 4)) if rng.random() < 0.035 else 0
    places = [_filling(scene, rng) for _ in range(fillings)]
    places += [_screw(scene, rng) for _ in range(screws)]
    for place, radius in places:
        hu = _with_streaks(geometry, hu, place, radius, rng)
    return hu


def _filling(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    t, side = rng.uniform(0, 1), float(rng.choice([-1.0, 1.0]))
    local = np.array([side * (25 - 12 * t), 40 + 22 * t, rng.choice([-13.0, -24.0])])
    return scene.pose.to_scene(scene.body.head.to_scene(local)), float(rng.uniform(1.5, 4.5))


def _screw(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    vertebra = scene.spine[str(rng.choice(["C4", "C5", "C6"]))]
    part = str(rng.choice(["pillar", "body"]))
    mirror = np.array([float(rng.choice([-1.0, 1.0])), 1.0, 1.0])
    local = np.array(vertebra.shape.landmark(part)) * mirror
    return scene.pose.to_scene(vertebra.frame.to_scene(local)), float(rng.uniform(1.2, 2.2))


def _with_streaks(
    geometry: Geometry, hu: Tensor, place: np.ndarray, radius: float, rng: np.random.Generator
) -> Tensor:
    """A ball of metal with bright and dark rays in its slices."""
    x, y, z = (axis - float(p) for axis, p in zip(_axes(geometry, hu.device), place, strict=True))
    angles, signs = rng.uniform(0, np.pi, 14), rng.choice([-1.0, -1.0, 1.0], 14)
    strength, widths = rng.uniform(60, 500), rng.uniform(0.6, 2.5, 14)
    near = (z.abs() < radius + 1.5).reshape(-1)
    if not bool(near.any()):
        return hu
    flat = (x.square() + y.square())[:, :, 0]
    rays = torch.zeros_like(flat)
    for angle, sign, width in zip(angles, signs, widths, strict=True):
        across = (x * np.sin(angle) - y * np.cos(angle))[:, :, 0]
        rays += sign * torch.exp(-(across / float(width)).square())
    rays *= strength / (1 + flat.sqrt() / 25.0)
    hu = hu.clone()
    hu[:, :, near] += rays[:, :, None]
    ball = (x.square() + y.square() + z.square()).sqrt() < radius
    return torch.where(ball, METAL_HU, hu)


def _with_motion(scene: Scene, geometry: Geometry, hu: Tensor) -> Tensor:
    """A jolt of a few slices sideways, or a ghost over a part of the scan; one patient in five."""
    rng = stream(scene.seed, MOTION)
    if rng.random() > 0.2:
        return hu
    _, _, z = _axes(geometry, hu.device)
    start, length = scene.world("C4")[2] + rng.normal(0, 35), rng.uniform(2, 12)
    slices = ((z > start) & (z < start + length)).reshape(-1)
    shifts = [round(float(rng.uniform(-1.6, 1.6)) / s) for s in geometry.spacing_mm[:2]]
    moved = torch.roll(hu[:, :, slices], shifts, (0, 1))
    share = float(rng.choice([1.0, 0.5, 0.3]))
    hu = hu.clone()
    hu[:, :, slices] = torch.lerp(hu[:, :, slices], moved, share)
    return hu
