"""Crops of synthetic vertebrae for the classifiers, each with its twin in the other state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.preprocess.crops import bounding_box, crop_in_box
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.families import FIRST, Families, some_of
from cspine_zoo.synthetic.fracture import draw_fracture
from cspine_zoo.synthetic.patches import Anatomy, draw_shapes
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scan import scanned
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.training.records import MAP_PX, VertebraRecord, quantised, record
from cspine_zoo.training.rough_masks import coarse_mask, misjudged_box

SCENES_A_SHARD: Final = 8

_FIELD_MM = 112.0
_VISIBLE_MM2: Final = 6.0
"""A slice counts as fractured from this area of fracture on."""


@dataclass(frozen=True, eq=False)
class SyntheticCrops:
    """Shards of synthetic vertebrae; same settings and number, same shard.

    Attributes:
        preprocess: of the classifier.
        anatomies: shapes from label maps.
        seed: of the set.
        families: of randomisation.
        family_share: chance of each of them in a patient.
        shards: each holds ``SCENES_A_SHARD`` patients with seven vertebrae each.
    """

    preprocess: Preprocess
    anatomies: Sequence[Anatomy]
    seed: int
    shards: int
    families: Families = FIRST
    family_share: float = 1.0

    @property
    def studies(self) -> int:
        """How many there are: every patient is scanned twice."""
        return 2 * SCENES_A_SHARD * self.shards

    def records(self, number: int) -> list[VertebraRecord]:
        """Of one shard."""
        first = self.seed * 1_000_003 + number * SCENES_A_SHARD
        return [
            made
            for seed in range(first, first + SCENES_A_SHARD)
            for made in draw_vertebrae(
                seed,
                self.preprocess,
                self.anatomies,
                some_of(self.families, self.family_share, seed),
            )
        ]


@dataclass(frozen=True, eq=False)
class _Scan:
    """One of a patient's two scans, and its name."""

    study: str
    hu: NDArray[np.float32]
    rendered: Rendered


def draw_vertebrae(
    seed: int,
    preprocess: Preprocess,
    anatomies: Sequence[Anatomy],
    families: Families = FIRST,
    label_map_share: float = 0.5,
) -> list[VertebraRecord]:
    """The seven vertebrae of one random patient, each broken and then whole.

    The patient is scanned twice with the same noise. A random half of the levels is broken in
    the first scan, the other half in the second: every level is seen in both states, and what
    its neighbours look like says nothing about it. The whole vertebra frames both crops:
    where a fragment lies moves neither. A level whose fracture nobody could see is left out.
    """
    rng = stream(seed, "crops")
    scene = Scene.draw(seed, draw_shapes(rng, anatomies, label_map_share), families)
    geometry = _field_of_view(rng, scene)
    acquisition = Acquisition.draw(rng, (geometry.spacing_mm[2], 1.3 * geometry.spacing_mm[2]))
    acquisition = acquisition.varied(seed, families)
    fractures = {
        level: draw_fracture(stream(seed, "fracture", level), level, scene.spine[level].shape)
        for level in LEVELS
    }
    first = {level for level in LEVELS if rng.random() < 0.5}
    scans = []
    for number, levels in enumerate((first, set(LEVELS) - first)):
        drawn = scene.with_fractures({level: fractures[level] for level in levels})
        rendered = render(drawn, geometry)
        hu = scanned(rendered, drawn, acquisition).numpy()
        scans.append(_Scan(f"synthetic-{seed}-{number}", hu, rendered))
    records: list[VertebraRecord] = []
    for level in LEVELS:
        broken, whole = scans if level in first else reversed(scans)
        records += _twins(broken, whole, level, preprocess, seed)
    return records


def _twins(
    broken: _Scan, whole: _Scan, level: str, preprocess: Preprocess, seed: int
) -> list[VertebraRecord]:
    """A level broken and whole; nothing if its fracture cannot be seen."""
    geometry = whole.rendered.geometry
    frame = bounding_box(whole.rendered.labels.numpy() == LABEL_OF[level])
    if frame is None:
        return []
    box = misjudged_box(frame, geometry, stream(seed, "box", level))
    fracture = broken.rendered.fractures[box].numpy() == LABEL_OF[level]
    cells = replace(preprocess, channels=("mask",), size_px=MAP_PX)
    crop = crop_in_box(broken.hu, geometry, box, fracture, cells)
    shares = crop.images[:, 0]
    truth = slices_with_fracture(shares, crop.field_mm)
    if not truth.any():
        return []
    images = {
        scan.study: crop_in_box(
            scan.hu,
            geometry,
            box,
            coarse_mask(
                scan.rendered.labels[box] == LABEL_OF[level], geometry, stream(seed, "mask", level)
            ),
            preprocess,
        ).images
        for scan in (broken, whole)
    }
    stored = {study: quantised(crop, preprocess.channels) for study, crop in images.items()}
    shown = (shares * 255).round().astype(np.uint8)
    return [
        record(stored[broken.study], 1, level, broken.study, whole.study, shown, truth),
        record(stored[whole.study], 0, level, whole.study, broken.study),
    ]


def slices_with_fracture(
    shares: NDArray[np.float32], field_mm: tuple[float, float]
) -> NDArray[np.bool_]:
    """Slices whose share of fracture in each cell (S, M, M) adds up to enough to be seen."""
    area_mm2 = field_mm[0] * field_mm[1]
    seen: NDArray[np.bool_] = shares.mean(axis=(1, 2)) * area_mm2 > _VISIBLE_MM2
    return seen


def _field_of_view(rng: np.random.Generator, scene: Scene) -> Geometry:
    pixel, thickness = (
        float(rng.uniform(0.6, 1.05)),
        float(np.exp(rng.uniform(np.log(1.0), np.log(3.5)))),
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
