"""Skull, atlas and axis as they fit into one another: sloped joints, dens, arches.

The joint surfaces of the three are made from the same figures, so that they lie a cartilage
apart whatever the sizes: the C1 of a network's training must not float above its C2.

References:
    Panjabi et al., Spine 16:888 (1991), Koenig et al., Spine 30:E551 (2005): heights and slopes
    of the upper joints, rounded; Rojas et al., AJNR 28:24 (2007): atlanto-dental interval on CT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from cspine_zoo.synthetic.distance import (
    capsule,
    chain,
    ellipsoid,
    elliptic_column,
    length,
    mirrored,
    smooth_maximum,
    smooth_union,
)
from cspine_zoo.synthetic.frame import Frame
from cspine_zoo.synthetic.vertebra import Atlas, Axis

_FACET_X_MM = 17.0
"""From the midline to the middle of the joints between C1 and C2."""

_MASS_Y_MM = -12.0
"""Middle of C1's lateral masses behind its anterior arch."""


@dataclass(frozen=True)
class Joint:
    """Figures of one craniocervical junction; mm and degrees, heights at the joints' middle.

    Attributes:
        facet_mm: height of C2's upper facets over its body's centre.
        lower_slope, upper_slope: tangent of C1's lower facets, falling away from the midline,
            and of its upper ones, rising.
        mass_mm: half width, half depth and height of C1's lateral masses.
        drop_mm: how far the lower facets of C1 lie below its anterior arch.
        gaps_mm: joint spaces below and above C1; negative is fused.
        interval_mm: between dens and anterior arch.
        arch: thickness of C1's arches against the average.
        dens_mm: radius, and height of its tip's centre over the body's centre.
        dens_lean_mm: how far the tip stands to the right and forward.
        turn, nod: of C1 on C2.
        tip: three angles of the skull on C1.
    """

    facet_mm: float
    lower_slope: float
    upper_slope: float
    mass_mm: tuple[float, float, float]
    drop_mm: float
    gaps_mm: tuple[float, float]
    interval_mm: float
    arch: float
    dens_mm: tuple[float, float]
    dens_lean_mm: tuple[float, float]
    turn: float
    nod: float
    tip: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Joint:
        """A random junction.

        One head in four is turned by up to 45 degrees, one atlas in a hundred has grown onto
        the skull.
        """
        slopes = np.tan(np.radians(rng.uniform(14, 34, 2)))
        turned, loose, fused = rng.random(3) < (0.25, 0.15, 0.01)
        return cls(
            facet_mm=rng.uniform(5.0, 9.0),
            lower_slope=float(slopes[0]),
            upper_slope=float(slopes[1]),
            mass_mm=(rng.uniform(6.6, 9.0), rng.uniform(8.5, 11.5), rng.uniform(10.5, 18.5)),
            drop_mm=rng.uniform(7.5, 12.5),
            gaps_mm=(rng.uniform(0.9, 2.6), -1.0 if fused else rng.uniform(0.9, 2.4)),
            interval_mm=rng.uniform(3.0, 5.0) if loose else rng.uniform(1.0, 2.6),
            arch=rng.uniform(0.75, 1.3),
            dens_mm=(rng.uniform(4.5, 6.2), rng.uniform(17.5, 25.0)),
            dens_lean_mm=(rng.normal(0, 0.8), rng.uniform(-2.0, 4.0)),
            turn=rng.uniform(-45, 45) if turned else rng.normal(0, 5.0),
            nod=float(np.clip(rng.normal(0, 5.0), -12, 12)),
            tip=(
                float(np.clip(rng.normal(0, 7.0), -15, 15)),
                rng.normal(0, 1.5),
                rng.normal(0, 2.0),
            ),
        )

    def atlas_frame(self, axis: Frame, *, fitted: bool) -> Frame:
        """C1 over a C2.

        Args:
            axis: frame of C2.
            fitted: whether both solids have these joints; others are put at the usual height.
        """
        turned = Rotation.from_euler("xz", [self.nod, self.turn], degrees=True).as_matrix()
        rotation = axis.rotation @ turned
        # on sloping shoulders a turned atlas would cut into the axis
        climb = self.lower_slope * _FACET_X_MM * (1 - np.cos(np.radians(self.turn)))
        height = self.facet_mm + self.gaps_mm[0] + self.drop_mm + 0.7 * climb if fitted else 21.0
        radius, tip = self.dens_mm
        share = float(np.clip((height - 7.0) / (tip - 7.0), 0, 1))
        dens = np.array([0.0, 0.5 + share * self.dens_lean_mm[1], height])
        reach = radius + self.interval_mm + 3.0 * self.arch if fitted else 9.5
        origin = axis.to_scene(dens) + rotation @ np.array([0.0, reach * axis.scale[1], 0.0])
        return Frame(origin, rotation, axis.scale)

    def head_frame(self, atlas: Frame, scale: np.ndarray) -> Frame:
        """The skull on a C1, nodding about its condyles."""
        pivot = np.array([0.0, _MASS_Y_MM, self._top() + 8.0])
        tipped = Rotation.from_euler("xyz", self.tip, degrees=True).as_matrix()
        rotation = atlas.rotation @ tipped
        origin = atlas.to_scene(pivot) - rotation @ (pivot * atlas.scale)
        return Frame(origin, rotation, scale)

    def condyles(self, p: Tensor, atlas: Frame, head: Frame) -> Tensor:
        """Occipital condyles that lie in C1's upper facets.

        Args:
            p: points in the frame of the head, the left half folded onto the right.
            atlas: frame of C1.
            head: frame of the skull.
        """
        ratio = torch.tensor(head.scale / atlas.scale, dtype=p.dtype, device=p.device)
        q = p * ratio[:, None]
        lid = self._roof(q) + self.gaps_mm[1]
        side = self._outline(q, 0.92)
        return smooth_maximum(side, torch.maximum(lid - q[2], q[2] - lid - 20.0), 3.0)

    def mass(self, p: Tensor) -> Tensor:
        """C1's lateral mass at points in its frame, folded to the right."""
        floor = -self.drop_mm - self.lower_slope * (p[0] - _FACET_X_MM)
        slab = torch.maximum(p[2] - self._roof(p), floor - p[2]) * 0.9
        return smooth_maximum(self._outline(p, 1.0), slab, 2.5)

    def shoulder(self, p: Tensor) -> Tensor:
        """C2's upper facet and the bone below it at points in its frame, folded to the right."""
        lid = self.facet_mm - self.lower_slope * (p[0] - _FACET_X_MM)
        half = self.mass_mm
        q = torch.stack(((p[0] - _FACET_X_MM + 1.5) / (half[0] + 1.0), (p[1] + 1.5) / half[1]))
        side = (length(q) - 1) * half[0]
        slab = torch.maximum(p[2] - lid, lid - 8.0 - p[2]) * 0.9
        return smooth_maximum(side, slab, 2.0)

    def _top(self) -> float:
        return self.mass_mm[2] - self.drop_mm

    def _roof(self, p: Tensor) -> Tensor:
        """C1's upper facets: cups, rising outwards, forwards and backwards."""
        along = (p[1] - _MASS_Y_MM) / 10.0
        return self._top() + self.upper_slope * (p[0] - _FACET_X_MM) + 2.2 * along * along

    def _outline(self, p: Tensor, share: float) -> Tensor:
        half = self.mass_mm[0] * share, self.mass_mm[1] * share
        q = torch.stack(((p[0] - _FACET_X_MM) / half[0], (p[1] - _MASS_Y_MM) / half[1]))
        outline: Tensor = (length(q) - 1) * half[0]
        return outline


@dataclass(frozen=True)
class JointedAtlas(Atlas):
    """C1 with sloping joints above and below."""

    joint: Joint

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        p, s, thick = mirrored(points), self.size, self.joint.arch
        back = -s.canal_depth - 12.0
        squat = torch.stack((p[0], p[1], p[2] * 0.62))
        anterior = chain(squat, [(0, 0, 0), (9, -3, 0), (15, -8, -1)], 3.0 * thick)
        knob = ellipsoid(p, (0, 1.5, -1), (3.5, 2.6 * thick + 0.6, 4.0))
        low = torch.stack((p[0], p[1], p[2] * 0.62))
        posterior = chain(
            low, [(18, -20, 0), (17, -30, 0), (9, back + 3, -1), (0, back, -1)], 2.9 * thick
        )
        front_bar = capsule(p, (s.pillar_x, -8, -4), (s.transverse_x, -14, -6), 3.0, 3.6)
        back_bar = capsule(p, (s.pillar_x, -19, -4), (s.transverse_x, -16, -6), 2.8, 3.6)
        tubercle = ellipsoid(p, (0, back - 1, -1), (3.0, 3.4, 4.0))
        parts = [self.joint.mass(p), anterior, knob, posterior, front_bar, back_bar, tubercle]
        return smooth_union(parts, 2.5)


@dataclass(frozen=True)
class JointedAxis(Axis):
    """C2 with sloping shoulders, a dens of its own shape, and a heavy spinous process."""

    joint: Joint

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in mm (n,) of points (3, n) in the vertebra's frame."""
        p, s, thick = mirrored(points), self.size, self.variation.thickness
        arch = -s.half_depth - s.canal_depth
        body = elliptic_column(p, (0, 0, 0), (s.half_width, s.half_depth, s.half_height))
        radius, tip = self.joint.dens_mm
        lean = self.joint.dens_lean_mm
        dens = capsule(points, (0, 0.5, 6), (lean[0], 0.5 + lean[1], tip), radius, 0.88 * radius)
        pars = capsule(p, (13, -5, 2), (s.pillar_x, -13, -6), 4.8 * thick)
        pillar = capsule(p, (s.pillar_x, -13, -4), (s.pillar_x + 1, -15, -12), 5.4)
        flat = torch.stack((p[0], p[1], p[2] * 0.5))
        lamina = capsule(flat, (s.pillar_x - 3, -17, -2), (1, arch - 3, -3), 3.2 * thick)
        end = arch - s.spinous
        tall = torch.stack((p[0], p[1], p[2] * 0.75))
        ridge = capsule(tall, (0, arch - 2, -5), (0, end + 6, -8), 4.6)
        fork = capsule(p, (0, end + 8, -10), (5.5 * self.variation.bifid, end, -13), 3.6)
        transverse = capsule(p, (14, -4, 0), (s.transverse_x, -8, -4), 3.6, 2.8)
        parts = [body, dens, self.joint.shoulder(p), pars, pillar, lamina, ridge, fork, transverse]
        return smooth_union(parts, 2.5)
