"""From a scene to Hounsfield units and truth on a voxel grid, before noise and blur."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.anatomy import DISC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.artefacts import spoiled
from cspine_zoo.synthetic.body import disc_distance
from cspine_zoo.synthetic.disc_ridges import Ridge, draw_ridges
from cspine_zoo.synthetic.families import DISC_RIDGES, HARD_NEGATIVES, JOINTS, THICK_SLICES
from cspine_zoo.synthetic.joints import Facet, draw_disc_hu, draw_facets
from cspine_zoo.synthetic.lattice import Field, Lattice
from cspine_zoo.synthetic.lookalikes import draw_ossicles
from cspine_zoo.synthetic.looks import Look, looks_of
from cspine_zoo.synthetic.morphometry import CHAIN
from cspine_zoo.synthetic.randomness import noise, stream
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.soft_parts import SoftPart, draw_soft_parts
from cspine_zoo.synthetic.spine import Vertebra
from cspine_zoo.synthetic.tissue import TEXTURE_MM
from cspine_zoo.synthetic.wild import tissues_of

BONE_RESOLUTION_MM = 1.25
"""Distances to bone are smooth: they are computed this coarsely and interpolated."""
SOFT_RESOLUTION_MM = 3.0

LAYER_MM: Final = 1.0
"""Layers of a thick slice are painted no thinner than this, nor than its pixels are wide."""

THIN: Final = 1.5
"""A slice up to this many times as thick as such a layer is painted in one."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """A scene on a grid.

    Attributes:
        hu: float32 (I, J, K).
        labels: uint8 (I, J, K): 1-7 C1-C7, 8 T1 and below, 9 discs.
        fractures: uint8 (I, J, K): label of the level whose fracture region a voxel lies in.
        geometry: the grid.
        averaged_mm: thickness over which HU are averages; 0 where they are samples.
    """

    hu: Tensor
    labels: Tensor
    fractures: Tensor
    geometry: Geometry
    averaged_mm: float = 0.0


class _Canvas:
    """Tissues painted over one another, each blended by the share of the voxel it fills."""

    def __init__(self, scene: Scene, geometry: Geometry, device: torch.device) -> None:
        self.scene, self.tissues = scene, tissues_of(scene)
        self.lattice = Lattice(geometry, scene.pose, device)
        self.shape, self.spacing = geometry.shape, geometry.spacing_mm
        self.voxel_mm = float(np.prod(self.spacing)) ** (1 / 3)
        self.labels = torch.zeros(self.shape, dtype=torch.uint8, device=device)
        self.fractures = torch.zeros(self.shape, dtype=torch.uint8, device=device)
        self.nearest = torch.zeros(self.shape, device=device)
        self.hu = torch.full(self.shape, self.tissues.air, device=device)

    def field(self, field: Field, resolution_mm: float) -> Tensor:
        zero = np.zeros(3, dtype=int)
        return self.lattice.sample(field, zero, np.array(self.shape), resolution_mm)

    def noise(self, rng: np.random.Generator, correlation_mm: float) -> Tensor:
        """Noise over the grid; drawn on the CPU, so that a seed means the same everywhere."""
        return noise(rng, self.shape, self.spacing, correlation_mm).to(self.hu.device)

    def share(self, distance: Tensor) -> Tensor:
        share: Tensor = 0.5 - distance / self.voxel_mm
        return share.clamp(0, 1)

    def paint(self, distance: Tensor, hu: float | Tensor) -> None:
        self.hu.lerp_(
            torch.as_tensor(hu, dtype=torch.float32, device=self.hu.device).expand(self.shape),
            self.share(distance),
        )

    def soft_tissue(self) -> None:
        body, t = self.scene.body, self.tissues
        rng = stream(self.scene.seed, "soft")
        skin = self.field(body.skin, SOFT_RESOLUTION_MM)
        muscle = t.muscle + 14 * self.noise(rng, 9.0)
        septa = self.noise(rng, 16.0).abs() < 0.1 + 0.35 * t.lobulation * torch.sigmoid(
            self.noise(rng, 40.0) - 0.7
        )
        inside = torch.where(septa, torch.full_like(muscle, t.fat), muscle)
        rind = skin > -(t.skin_fat_mm * (1 + 0.4 * self.noise(rng, 60.0)))
        inside = torch.where(rind & (skin < -1.8), torch.full_like(muscle, t.fat), inside)
        self.paint(skin, inside)
        self.paint(self.field(body.brain, SOFT_RESOLUTION_MM), t.brain)
        canal = self.field(body.canal, 2.0)
        self.paint(canal, t.fluid)
        self.paint(canal + 3.5, t.cord)
        self.paint(self.field(body.cartilage, 2.0), t.cartilage)
        parts = draw_soft_parts(self.scene)
        self._soft_parts([part for part in parts if not part.over_air])
        lung = self.field(body.lungs, SOFT_RESOLUTION_MM)
        self.paint(lung, t.lung + 60 * self.noise(rng, 4.0))
        self.paint(self.field(body.airway, 2.0), t.air)
        self._soft_parts([part for part in parts if part.over_air])

    def _soft_parts(self, parts: Sequence[SoftPart]) -> None:
        for part in parts:
            block = self.lattice.block(part.low, part.high)
            if block is None:
                continue
            region = tuple(slice(a, b) for a, b in zip(*block, strict=True))
            distance = self.lattice.sample(part.distance, *block, BONE_RESOLUTION_MM)
            self.hu[region] = torch.lerp(
                self.hu[region], torch.full_like(distance, part.hu), self.share(distance)
            )

    def discs(self) -> None:
        discs = self.scene.body.discs()
        densities = [self.tissues.disc] * len(discs)
        if JOINTS in self.scene.families:
            densities = draw_disc_hu(self.scene.seed, len(discs), self.tissues.disc)
        for (frame, half), hu in zip(discs, densities, strict=True):
            reach = np.full(3, max(half) + 4.0)
            block = self.lattice.block(frame.origin - reach, frame.origin + reach)
            if block is None:
                continue
            region = tuple(slice(a, b) for a, b in zip(*block, strict=True))
            distance = self.lattice.sample(
                partial(disc_distance, frame, half), *block, BONE_RESOLUTION_MM
            )
            self.hu[region] = torch.lerp(
                self.hu[region], torch.full_like(distance, hu), self.share(distance)
            )
            self.labels[region] = torch.where(distance < 0, DISC, self.labels[region])

    def bones(self) -> None:
        texture = self._texture()
        for field in (self.scene.body.skull, self.scene.body.girdle):
            distance = self.field(field, 2.0)
            self.hu.lerp_(self._bone(distance, texture), self.share(distance))
        self.paint(self.field(self.scene.body.teeth, 2.0), self.tissues.teeth)
        self._ridges(texture)
        facets = self._facets()
        for facet in facets:
            self._processes(facet)
        for vertebra in self.scene.spine.values():
            self._vertebra(vertebra, texture)
        for facet in facets:
            self._joint_line(facet)
        if HARD_NEGATIVES in self.scene.families:
            for vertebra in self.scene.spine.values():
                self._ossicles(vertebra)

    def _texture(self) -> Tensor:
        """Heterogeneity of all bone: spongy texture, dense patches, vessels and clefts."""
        rng, t = stream(self.scene.seed, "bone"), self.tissues
        texture = torch.zeros(self.shape, device=self.hu.device)
        for deviation, scale in zip(t.texture, TEXTURE_MM, strict=True):
            texture += deviation * self.noise(rng, scale)
        patches = self.noise(rng, 8.0)
        texture += t.sclerosis * (patches - 0.9).clamp_min(0)
        channel = (1 - self.noise(rng, 5.0).abs() / 0.16).clamp_min(0)
        gate = (self.noise(rng, 9.0) - 0.6).clamp(0, 1)
        texture -= 420 * t.clutter * channel * gate
        return texture

    def _bone(self, distance: Tensor, texture: Tensor) -> Tensor:
        """HU of solid bone at a depth below its surface."""
        t = self.tissues
        shell = torch.sigmoid((distance + t.cortex_mm) / 0.35)
        spongy = t.trabecular + texture
        compact = t.cortex + 0.5 * texture
        return torch.maximum(torch.lerp(spongy, compact, shell), torch.full_like(shell, t.fat))

    def _vertebra(self, vertebra: Vertebra, texture: Tensor) -> None:
        block = self.lattice.block(*vertebra.bounds())
        if block is None:
            return
        region = tuple(slice(a, b) for a, b in zip(*block, strict=True))
        distance = self.lattice.sample(
            lambda points: vertebra.distance(vertebra.to_local(points)), *block, BONE_RESOLUTION_MM
        )
        fracture = vertebra.fracture
        bone = self._bone(distance, texture[region])
        looks = looks_of(self.scene, vertebra)
        if looks:
            self._look(bone, vertebra, distance, block[0], looks)
        if fracture.cuts:
            share, near = self._cuts(vertebra, block)
            bone = torch.lerp(bone, torch.full_like(bone, self.tissues.gap), share)
            here = near & (distance < 0.5)
            self.fractures[region] = torch.where(here, vertebra.label, self.fractures[region])
        self.hu[region] = torch.lerp(self.hu[region], bone, self.share(distance))
        mine = (distance < 0) & (distance < self.nearest[region])
        self.labels[region] = torch.where(mine, vertebra.label, self.labels[region])
        self.nearest[region] = torch.where(mine, distance, self.nearest[region])

    def _look(
        self,
        bone: Tensor,
        vertebra: Vertebra,
        distance: Tensor,
        start: np.ndarray,
        looks: Sequence[Look],
    ) -> None:
        """Change the HU of one vertebra in place, where there is bone."""
        solid = (distance < 0.5 * self.voxel_mm).nonzero()
        if not len(solid):
            return
        local = vertebra.to_local(self.lattice.at(solid + torch.from_numpy(start).to(solid.device)))
        depth = distance[tuple(solid.T)]
        source, torn = vertebra.fracture.source(local)
        if bool(torn.any()):
            scale = float(vertebra.frame.scale.mean())
            depth[torn] = vertebra.shape.distance(source[:, torn]) * scale
        hu = bone[tuple(solid.T)]
        for look in looks:
            hu = look.paint(hu, source, depth, self.spacing)
        bone[tuple(solid.T)] = hu

    def _ridges(self, texture: Tensor) -> None:
        """Lips of bone about the discs, under the vertebrae that they belong to."""
        if DISC_RIDGES not in self.scene.families:
            return
        ridges = draw_ridges(self.scene.seed, self.scene.body.discs())
        for ridge, (above, below) in zip(ridges, pairwise(CHAIN[1:]), strict=True):
            if ridge is not None:
                labels = [self.scene.spine[level].label for level in (above, below)]
                self._ridge(ridge, texture, *labels)

    def _ridge(self, ridge: Ridge, texture: Tensor, above: int, below: int) -> None:
        piece = self._piece(ridge.frame.origin - ridge.reach, ridge.frame.origin + ridge.reach)
        if piece is None:
            return
        region, points, crop = piece
        distance, upper = crop(ridge.distance(points)), crop(ridge.above(points))
        bone = self._bone(distance, texture[region])
        self.hu[region] = torch.lerp(self.hu[region], bone, self.share(distance))
        label = torch.where(upper, above, below).to(torch.uint8)
        self.labels[region] = torch.where(distance < 0, label, self.labels[region])

    def _facets(self) -> list[Facet]:
        on = JOINTS in self.scene.families
        return draw_facets(self.scene.seed, self.scene.spine) if on else []

    def _processes(self, facet: Facet) -> None:
        """Articular processes, under the vertebrae that they belong to."""
        piece = self._piece(*facet.bounds())
        if piece is None:
            return
        region, points, crop = piece
        distance, hu, label = (crop(values) for values in facet.processes(points))
        self.hu[region] = torch.lerp(self.hu[region], hu, self.share(distance))
        self.labels[region] = torch.where(distance < 0, label, self.labels[region])

    def _joint_line(self, facet: Facet) -> None:
        """The joint space, through whatever bone is there."""
        piece = self._piece(*facet.bounds())
        if piece is None:
            return
        region, points, crop = piece
        share = crop(facet.line(points, self.voxel_mm))
        share *= (self.hu[region] > facet.gap_hu).float()
        self.hu[region] = torch.lerp(self.hu[region], torch.full_like(share, facet.gap_hu), share)

    def _piece(
        self, low: np.ndarray, high: np.ndarray
    ) -> tuple[tuple[slice, ...], Tensor, Callable[[Tensor], Tensor]] | None:
        """Voxels of a scene box, their scene points, and how values at these become voxels."""
        block = self.lattice.block(low, high)
        if block is None:
            return None
        start, stop = block
        points, count = self.lattice.points(start, stop - 1, np.ones(3, dtype=int))
        size = tuple(slice(0, n) for n in stop - start)
        region = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return region, points, lambda values: values.reshape(count)[size]

    def _ossicles(self, vertebra: Vertebra) -> None:
        for ossicle in draw_ossicles(self.scene.seed, vertebra.level, vertebra.shape):
            centre = vertebra.frame.to_scene(np.array(ossicle.centre))
            reach = 2.0 * max(ossicle.radii) + 2.0 * max(self.spacing)
            piece = self._piece(centre - reach, centre + reach)
            if piece is None:
                continue
            region, points, crop = piece
            distance, hu = (crop(v) for v in ossicle.bone(vertebra.frame.to_local(points)))
            self.hu[region] = torch.lerp(self.hu[region], hu, self.share(distance))

    def _cuts(
        self, vertebra: Vertebra, block: tuple[np.ndarray, np.ndarray]
    ) -> tuple[Tensor, Tensor]:
        start, stop = block
        points, count = self.lattice.points(start, stop - 1, np.ones(3, dtype=int))
        local = vertebra.to_local(points)
        share = vertebra.fracture.gap(local, self.voxel_mm).reshape(count)
        near = vertebra.fracture.region(local).reshape(count)
        size = stop - start
        return (
            share[: size[0], : size[1], : size[2]],
            near[: size[0], : size[1], : size[2]],
        )


def render(scene: Scene, geometry: Geometry, device: str | torch.device = "cpu") -> Rendered:
    """Paint a scene on a grid: soft tissue, discs, then bone.

    Fractured and whole vertebrae pass through the same steps; noise and texture depend on the
    seed and the grid alone, so that twins differ in the fracture and in nothing else. Truth is
    that of the middle of each slice.
    """
    layers = layers_of_a_slice(geometry) if THICK_SLICES in scene.families else 1
    canvas = _Canvas(scene, _layered(geometry, layers), torch.device(device))
    canvas.soft_tissue()
    canvas.discs()
    canvas.bones()
    hu = canvas.hu.unflatten(2, (geometry.shape[2], layers)).mean(3)
    middle = slice(layers // 2, None, layers)
    return Rendered(
        spoiled(scene, geometry, hu),
        canvas.labels[:, :, middle].contiguous(),
        canvas.fractures[:, :, middle].contiguous(),
        geometry,
        averaged_mm=geometry.spacing_mm[2] if layers > 1 else 0.0,
    )


def layers_of_a_slice(geometry: Geometry) -> int:
    """How many layers a slice is painted in: an odd number, so that one is its middle."""
    side = max(LAYER_MM, *geometry.spacing_mm[:2])
    thickness = geometry.spacing_mm[2] / side
    return 1 if thickness <= THIN else 2 * math.ceil((thickness - 1) / 2) + 1


def _layered(geometry: Geometry, layers: int) -> Geometry:
    """The same field with each slice cut into layers."""
    if layers == 1:
        return geometry
    i, j, k = geometry.shape
    affine = geometry.affine.copy()
    affine[:3, 2] /= layers
    affine[:3, 3] -= (layers // 2) * affine[:3, 2]
    return Geometry((i, j, k * layers), affine)
