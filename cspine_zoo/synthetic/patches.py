"""Training patches for the segmenter: small windows of random scenes, made on the fly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.families import FIRST, THICK_SLICES, VIEW, Families, some_of
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scan import scanned
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.vertebra import VertebraShape
from cspine_zoo.synthetic.views import centre_anywhere

Anatomy = Mapping[str, VertebraShape]

MOST_VOXELS: Final = 3
"""Slices are at most this many voxels thick: 6 mm on the 2 mm of our segmenters."""


@dataclass(frozen=True)
class Patch:
    """HU (I, J, K) float32 and labels (I, J, K) uint8 of one window."""

    hu: Tensor
    labels: Tensor


@dataclass(frozen=True)
class PatchPreset:
    """How windows are cut.

    Attributes:
        shapes: voxel shapes, used in turn.
        spacing_mm: of all axes, or of I, J and K.
        label_map_share: share of scenes with shapes from a label map, where any is given.
        fractured_share: share of scenes with fractures.
        anywhere_share: share of windows that are not centred near the spine.
        stretched_share: share of windows that are stretched along the scan's axis.
        stretch: by what, from and to; a network that takes slabs of the usual height for vertebrae
            meets none.
        families: what is random beyond the first generation of scenes.
        family_share: chance of each family in each scene.
    """

    shapes: tuple[tuple[int, int, int], ...] = (
        (48, 64, 64),
        (64, 64, 48),
        (48, 48, 80),
        (48, 64, 48),
    )
    spacing_mm: float | tuple[float, float, float] = 2.5
    label_map_share: float = 0.55
    fractured_share: float = 0.25
    anywhere_share: float = 0.15
    stretched_share: float = 0.5
    stretch: tuple[float, float] = (0.85, 1.3)
    families: Families = FIRST
    family_share: float = 1.0

    @property
    def axes_mm(self) -> tuple[float, float, float]:
        """Spacing along I, J and K."""
        spacing = self.spacing_mm
        return spacing if isinstance(spacing, tuple) else (spacing, spacing, spacing)


def draw_patch(
    seed: int, shape: tuple[int, int, int], preset: PatchPreset, anatomies: Sequence[Anatomy]
) -> Patch:
    """One random window; same seed, same patch."""
    rng = stream(seed, "patch")
    shapes = draw_shapes(rng, anatomies, preset.label_map_share)
    families = some_of(preset.families, preset.family_share, seed)
    scene = Scene.draw(seed, shapes, families)
    if rng.random() < preset.fractured_share:
        scene = scene.fractured()
    spacing = _spacing(stream(seed, "stretch"), preset)
    extent = np.array(shape) * spacing
    centre = _window_centre(rng, scene, preset)
    view = stream(seed, VIEW, "window")
    if VIEW in families:
        elsewhere = centre_anywhere(view, scene, float(extent[2]))
        centre = centre if elsewhere is None else elsewhere
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = centre - 0.5 * extent
    geometry = Geometry(shape, affine)
    rendered = render(scene, geometry)
    acquisition = Acquisition.draw(rng, (0.6, 5.0)).varied(seed, families)
    voxels, offset = _slices(stream(seed, THICK_SLICES), families)
    hu = resliced(rendered, voxels, offset, partial(scanned, scene=scene, acquisition=acquisition))
    hu = hu * rng.uniform(0.93, 1.07) + rng.normal(0, 12)
    labels = rendered.labels
    if rng.random() < 0.25:
        hu, labels = _cut(rng, hu, labels)
    if VIEW in families and view.random() < 0.15:
        hu, labels = _cut(view, hu, labels, axis=int(view.integers(2)))
    return Patch(hu, labels)


def resliced(
    rendered: Rendered, voxels: int, offset: int, scan: Callable[[Rendered], Tensor]
) -> Tensor:
    """A scan of slices several voxels thick, interpolated to the window's grid.

    Preprocessing does the same to a study whose slices are thicker than the network's voxels: they
    are spread over voxels that the scanner never saw, noise and all.

    Args:
        rendered: the window.
        voxels: how many make a slice; 1 for the window's own.
        offset: of them that the window's first slice lacks.
        scan: HU of a grid from what is rendered on it.
    """
    if voxels == 1:
        return scan(rendered)
    depth = rendered.geometry.shape[2]
    slices = -(-(depth + offset) // voxels)
    places = torch.arange(slices * voxels).sub(offset).clamp(0, depth - 1)
    middles = torch.arange(slices) * voxels + (voxels - 1) // 2
    affine = rendered.geometry.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (0.5 * (voxels - 1) - offset)
    affine[:3, 2] *= voxels
    i, j, _ = rendered.geometry.shape
    thick = Rendered(
        rendered.hu[:, :, places].unflatten(2, (slices, voxels)).mean(3),
        rendered.labels[:, :, places[middles]],
        rendered.fractures[:, :, places[middles]],
        Geometry((i, j, slices), affine),
        averaged_mm=voxels * rendered.geometry.spacing_mm[2],
    )
    fine = functional.interpolate(
        scan(thick), size=slices * voxels, mode="linear", align_corners=False
    )
    return fine[:, :, offset : offset + depth]


def draw_shapes(
    rng: np.random.Generator, anatomies: Sequence[Anatomy], share: float
) -> Anatomy | None:
    """Shapes of one scene: parametric, of one label map, or level by level a mix of both."""
    if not anatomies or rng.random() >= share:
        return None
    chosen = anatomies[int(rng.integers(len(anatomies)))]
    if rng.random() < 0.7:
        return chosen
    return {level: shape for level, shape in chosen.items() if rng.random() < 0.6}


def _slices(rng: np.random.Generator, families: Families) -> tuple[int, int]:
    """Voxels of a slice, and how many of them lie outside the window."""
    voxels = int(rng.integers(1, MOST_VOXELS + 1)) if THICK_SLICES in families else 1
    return voxels, int(rng.integers(voxels))


def _window_centre(rng: np.random.Generator, scene: Scene, preset: PatchPreset) -> np.ndarray:
    if rng.random() < preset.anywhere_share:
        spread = rng.uniform([-70, -60, -150], [70, 80, 230])
        return np.asarray(scene.world("C4") + spread)
    level = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T3")[int(rng.integers(9))]
    return np.asarray(
        scene.world(level) + rng.normal(0, [14.0, 16.0, 22.0]) + np.array([0, -8.0, 0])
    )


def _spacing(rng: np.random.Generator, preset: PatchPreset) -> np.ndarray:
    """Of one window, mm; what is stretched is sampled more finely and then taken as usual."""
    spacing = np.array(preset.axes_mm)
    if rng.random() < preset.stretched_share:
        spacing[2] /= np.exp(rng.uniform(*np.log(preset.stretch)))
    return spacing


def _cut(
    rng: np.random.Generator, hu: Tensor, labels: Tensor, axis: int = 2
) -> tuple[Tensor, Tensor]:
    """The scan ends inside the window: nothing beyond a plane across an axis, the spine's first."""
    hu, labels = hu.clone(), labels.clone()
    size = hu.shape[axis]
    depth = int(rng.integers(min(4, size // 2 - 1), size // 2))
    start = 0 if rng.random() < 0.5 else size - depth
    hu.narrow(axis, start, depth).fill_(-1024.0)
    labels.narrow(axis, start, depth).zero_()
    return hu, labels
