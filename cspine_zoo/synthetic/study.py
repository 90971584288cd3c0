"""Whole synthetic studies: a scene, a scan of it, and the truth that stays in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cspine_zoo.anatomy import DISC, LABEL_OF, LEVEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.families import FIRST, Families
from cspine_zoo.synthetic.looks import clutter_hu
from cspine_zoo.synthetic.patches import Anatomy, draw_shapes
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scan import scanned
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.views import ends_anywhere, ends_without_neck, volume_mm3

VISIBLE_MM3 = 25.0
"""A level counts as fractured when at least this much of its fracture is in view."""


@dataclass(frozen=True)
class StudyPreset:
    """The range of scans that a set of studies is drawn from.

    Attributes:
        pixel_mm, slice_mm: voxel size in plane and slice spacing.
        field_mm: side of the square field of view.
        above_mm, below_mm: how far the scan reaches above C1 and below C7; negative cuts them off.
        length_mm: of scans that are cut anywhere instead; None for scans of the whole neck.
        aside_mm: standard deviation of the field's centre from the neck's.
        no_neck_share: share of scans that show a head or a chest and nothing of C1-C7.
        label_map_share: share of studies with shapes from a label map, where any is given.
        families: what is random beyond the first generation of scenes.
    """

    pixel_mm: tuple[float, float] = (0.65, 0.85)
    slice_mm: tuple[float, float] = (1.0, 2.0)
    field_mm: tuple[float, float] = (165.0, 210.0)
    above_mm: tuple[float, float] = (15.0, 45.0)
    below_mm: tuple[float, float] = (15.0, 50.0)
    length_mm: tuple[float, float] | None = None
    aside_mm: float = 6.0
    no_neck_share: float = 0.0
    label_map_share: float = 0.5
    families: Families = FIRST


@dataclass(frozen=True, eq=False)
class SyntheticStudy:
    """One scan with its truth, all arrays (I, J, K) on one RAS grid.

    Attributes:
        hu: float32.
        labels: uint8; 1-7 C1-C7, 8 T1 and below.
        fractures: uint8; label of the fractured level.
        geometry: the grid.
        scene: what was scanned.
        acquisition: how.
        conspicuity: detectability d' of the fractures against the same scan without them; 0
            where there is none.
    """

    hu: np.ndarray
    labels: np.ndarray
    fractures: np.ndarray
    geometry: Geometry
    scene: Scene
    acquisition: Acquisition
    conspicuity: float

    def levels(self) -> dict[str, int]:
        """1 for each level whose fracture is in view."""
        count = np.bincount(self.fractures.ravel(), minlength=8) * self.geometry.voxel_mm3
        return {LEVEL_OF[label]: int(count[label] >= VISIBLE_MM3) for label in range(1, 8)}

    def shares_in_view(self) -> dict[str, float]:
        """Share of each vertebra C1-C7 that the scan shows, 0 to 1."""
        count = np.bincount(self.labels.ravel(), minlength=8) * self.geometry.voxel_mm3
        return {
            level: min(1.0, float(count[label]) / max(1.0, volume_mm3(self.scene, level)))
            for level, label in LABEL_OF.items()
        }

    def displacement_mm(self) -> float:
        """Largest displacement of a fragment."""
        return max(self.scene.spine[level].fracture.displacement_mm for level in LEVELS)


def draw_twins(
    seed: int, preset: StudyPreset, anatomies: Sequence[Anatomy] = ()
) -> tuple[SyntheticStudy, SyntheticStudy]:
    """A fractured study and the same study without its fractures, noise and all.

    Args:
        seed: same seed, same studies, bit for bit on the CPU.
        preset: range of scans.
        anatomies: shapes from label maps.
    """
    rng = stream(seed, "study")
    shapes = draw_shapes(rng, anatomies, preset.label_map_share)
    scene = Scene.draw(seed, shapes, preset.families)
    geometry = _field_of_view(rng, scene, preset)
    acquisition = Acquisition.draw(rng, (geometry.spacing_mm[2], 1.3 * geometry.spacing_mm[2]))
    acquisition = acquisition.varied(seed, preset.families)
    broken = _scan(scene.fractured(), geometry, acquisition)
    whole = _scan(scene, geometry, acquisition)
    detectability = detectable(broken[1] - whole[1], acquisition, scene)
    return (
        _study(*broken, scene.fractured(), acquisition, detectability),
        _study(*whole, scene, acquisition, 0.0),
    )


def detectable(difference: torch.Tensor, acquisition: Acquisition, scene: Scene) -> float:
    """Matched-filter detectability d' of a difference in HU against noise and bone clutter."""
    clutter = clutter_hu(scene)
    background = acquisition.noise_hu**2 + clutter**2
    return float((difference.double().square().sum() / background).sqrt())


def _scan(
    scene: Scene, geometry: Geometry, acquisition: Acquisition
) -> tuple[Rendered, torch.Tensor]:
    rendered = render(scene, geometry)
    return rendered, scanned(rendered, scene, acquisition)


def _study(
    rendered: Rendered, hu: torch.Tensor, scene: Scene, acquisition: Acquisition, conspicuity: float
) -> SyntheticStudy:
    labels = rendered.labels.numpy().copy()
    labels[labels == DISC] = 0
    return SyntheticStudy(
        hu.numpy(),
        labels,
        rendered.fractures.numpy(),
        rendered.geometry,
        scene,
        acquisition,
        conspicuity,
    )


def _field_of_view(rng: np.random.Generator, scene: Scene, preset: StudyPreset) -> Geometry:
    pixel, thickness = rng.uniform(*preset.pixel_mm), rng.uniform(*preset.slice_mm)
    side = rng.uniform(*preset.field_mm)
    top = scene.world("C1")[2] + rng.uniform(*preset.above_mm)
    bottom = scene.world("C7")[2] - rng.uniform(*preset.below_mm)
    view = stream(scene.seed, "view", "study")
    if preset.no_neck_share and view.random() < preset.no_neck_share:
        bottom, top = ends_without_neck(view, scene)
    elif preset.length_mm:
        bottom, top = ends_anywhere(view, scene, preset.length_mm)
    aside = rng.normal(0, preset.aside_mm, 2)
    centre = scene.world("C4") + np.array([*aside, 0.0]) + np.array([0.0, -4.0, 0.0])
    pixels = round(side / pixel)
    slices = max(16, round((top - bottom) / thickness))
    affine = np.diag([pixel, pixel, thickness, 1.0])
    affine[:3, 3] = [centre[0] - side / 2, centre[1] - side / 2, bottom]
    return Geometry((pixels, pixels, slices), affine)
