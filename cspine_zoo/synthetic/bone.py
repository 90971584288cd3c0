"""Bone as uneven as real bone: cortex, spongy bone, dense zones, marrow and vessels.

Everything is a function of the place within the unbroken vertebra and of the depth below its
surface, never of a voxel's number: twins have the same bone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.synthetic.morphometry import SIZES
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.speckle import Speckle
from cspine_zoo.synthetic.vessels import Canal, draw_canals
from cspine_zoo.synthetic.zones import Zones

GRAIN_MM: Final = (0.6, 1.3, 2.6, 6.0)
"""Scales of the spongy bone's texture."""


@dataclass(frozen=True)
class BoneQuality:
    """How the bone of one patient is, in HU and mm.

    The ranges hold what was measured in a CT of a normal neck (thick slices): interior of the
    vertebrae 620-810 HU with a deviation of 260-300, no darker than the surface; and reach down
    to osteopenic bone of 100 HU with a thin crisp cortex.

    Attributes:
        spongy: spongy bone of a vertebral body.
        grain: deviation at each of ``GRAIN_MM``, where a voxel is small enough to show it.
        unevenness: deviation of the logarithm of the density over 7 to 20 mm.
        cortex: compact bone.
        wall_mm, arch_mm: its thickness around bodies and around arches, pillars and dens.
        arch: spongy bone of the arches and pillars, relative to ``cortex``: 0 as in the body.
        plates, facets: density added under end plates and joint surfaces.
        rims: density added where the bodies' edges wear.
        marrow: share of the density that fatty pockets lack.
        vessels: mean number of canals in a vertebra.
    """

    spongy: float
    grain: tuple[float, ...]
    unevenness: float
    cortex: float
    wall_mm: float
    arch_mm: float
    arch: float
    plates: float
    facets: float
    rims: float
    marrow: float
    vessels: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> BoneQuality:
        """A random patient, from osteopenic to dense."""
        density = float(rng.uniform(0.0, 1.0))
        total = rng.uniform(0.3, 0.9) * (220 + 330 * density)
        shares = rng.dirichlet((0.8, 1.0, 1.4, 1.4))
        return cls(
            spongy=110 + 480 * density * rng.uniform(0.75, 1.25),
            grain=tuple(float(total * np.sqrt(share)) for share in shares),
            unevenness=rng.uniform(0.05, 0.3),
            cortex=rng.uniform(700, 1300),
            wall_mm=float(np.exp(rng.uniform(np.log(0.2), np.log(1.1)))),
            arch_mm=float(np.exp(rng.uniform(np.log(0.6), np.log(2.8)))),
            arch=float(rng.beta(1.2, 1.5)),
            plates=rng.uniform(0, 450),
            facets=rng.uniform(0, 550) * (rng.random() < 0.85),
            rims=rng.uniform(0, 400) * (rng.random() < 0.6),
            marrow=0.8 * float(rng.beta(1.0, 2.5)),
            vessels=rng.uniform(1.0, 7.0),
        )


@dataclass(frozen=True, eq=False)
class BoneTexture:
    """The bone of one vertebra.

    Attributes:
        zones: where body, plates, facets and rims are.
        quality: of the patient, varied a little.
        grain: fields of the texture, as ``GRAIN_MM``.
        surface, density, pockets: fields of the cortex's thickness, of uneven density, of marrow.
        slope: (3,) change of the body's density along its axes, per half size.
        canals: vessels.
    """

    zones: Zones
    quality: BoneQuality
    grain: tuple[Speckle, ...]
    surface: Speckle
    density: Speckle
    pockets: Speckle
    slope: tuple[float, float, float]
    canals: tuple[Canal, ...]

    @classmethod
    def draw(cls, seed: int, level: str) -> BoneTexture:
        """The bone of ``level`` of the patient ``seed``."""
        quality = BoneQuality.draw(stream(seed, "bone-texture"))
        rng = stream(seed, "bone-texture", level)
        quality = _varied(quality, rng)
        lengthwise = rng.uniform(1.0, 2.5)
        grain = [Speckle.draw(rng, (s, s, s * lengthwise)) for s in GRAIN_MM[:2]]
        grain += [Speckle.draw(rng, s) for s in GRAIN_MM[2:]]
        size = SIZES[level]
        return cls(
            zones=Zones(level, size),
            quality=quality,
            grain=tuple(grain),
            surface=Speckle.draw(rng, float(rng.uniform(4, 9))),
            density=Speckle.draw(rng, float(rng.uniform(7, 20))),
            pockets=Speckle.draw(rng, float(rng.uniform(3, 7))),
            slope=tuple(float(s) for s in rng.normal(0, 0.12, 3)),  # type: ignore[arg-type]
            canals=draw_canals(rng, level, size, quality.vessels),
        )

    def paint(
        self,
        bone: Tensor,
        local: Tensor,
        distance: Tensor,
        spacing_mm: tuple[float, float, float],
    ) -> Tensor:
        """As ``hu``: nothing remains of the bone that was there."""
        return self.hu(local, distance, spacing_mm)

    def hu(self, local: Tensor, distance: Tensor, spacing_mm: tuple[float, float, float]) -> Tensor:
        """Bone (n,) at places (3, n) in the vertebra's frame, ``distance`` (n,) from its surface.

        Args:
            local: frame points of the unbroken vertebra.
            distance: signed mm, negative inside.
            spacing_mm: of the voxels, which average over what is finer.
        """
        q, voxel_mm = self.quality, float(np.prod(spacing_mm)) ** (1 / 3)
        body, surface = self.zones.body(local), self.surface.at(local)
        spongy = self._spongy(local, body, spacing_mm)
        wall = q.wall_mm * self.zones.wall(local) + q.arch_mm * (1 - body)
        thickness = wall * torch.exp(0.7 * surface) - 0.15
        compact = q.cortex * (1 + 0.16 * self.density.at(local.flip(0)) + 0.06 * surface)
        share = _shell_share(-distance, thickness.clamp_min(0), voxel_mm)
        # Spongy bone that is denser and denser ends as compact bone.
        spongy = torch.where(spongy < compact, spongy, 0.75 * compact + 0.25 * spongy)
        bone = torch.lerp(spongy, torch.maximum(compact, spongy), share)
        for canal in self.canals:
            bone = canal.paint(bone, local, distance, spacing_mm)
        return bone.clamp(-90, 2200)

    def _spongy(
        self, local: Tensor, body: Tensor, spacing_mm: tuple[float, float, float]
    ) -> Tensor:
        q = self.quality
        mean = q.spongy + (1 - body) * q.arch * (q.cortex - q.spongy) * 0.8
        slope = torch.tensor(self.slope, device=local.device)
        mean = mean * (1 + (slope @ self.zones.relative(local)) * body)
        mean = mean * torch.exp(q.unevenness * self.density.at(local))
        mean = mean + self._sclerosis(local)
        texture = torch.zeros_like(mean)
        for deviation, field in zip(q.grain, self.grain, strict=True):
            texture += deviation * field.visible(spacing_mm) * field.at(local)
        pocket = ((self.pockets.at(local) - 0.8) * 1.2).clamp(0, 1) * q.marrow
        return torch.lerp(mean + texture, torch.full_like(mean, -20.0), pocket)

    def _sclerosis(self, local: Tensor) -> Tensor:
        """Density under end plates, joint surfaces and worn rims, in patches."""
        q = self.quality
        patchy = (1.0 + 0.8 * self.density.at(local + 31.0)).clamp(0, 2)
        plates = q.plates * self.zones.plates(local)
        facets = q.facets * self.zones.facets(local)
        return (plates + facets + q.rims * self.zones.rims(local)) * patchy


def _shell_share(depth: Tensor, thickness: Tensor, voxel_mm: float) -> Tensor:
    """Share of compact bone in the bony part of a voxel at ``depth`` below a flat surface."""
    upper = (depth - 0.5 * voxel_mm).clamp_min(0)
    lower = (depth + 0.5 * voxel_mm).clamp_min(1e-3)
    filled = torch.minimum(lower, thickness) - upper
    return (filled / (lower - upper)).clamp(0, 1)


def _varied(quality: BoneQuality, rng: np.random.Generator) -> BoneQuality:
    """The same patient's bone, a little different at each level."""
    names = [field.name for field in fields(quality) if field.name != "grain"]
    factors = np.exp(rng.normal(0, 0.13, len(names) + 1))
    values = {
        name: float(getattr(quality, name) * factor)
        for name, factor in zip(names, factors, strict=False)
    }
    values["arch"] = min(1.0, values["arch"])
    grain = tuple(float(deviation * factors[-1]) for deviation in quality.grain)
    return replace(quality, grain=grain, **values)
