"""What surrounds the cervical spine: head, shoulder girdle, airway, canal, discs and skin.

All distances are in scene mm, negative inside, at scene points (3, n).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from cspine_zoo.synthetic.craniocervical import Joint
from cspine_zoo.synthetic.distance import (
    capsule,
    chain,
    ellipsoid,
    elliptic_column,
    length,
    mirrored,
    rounded_box,
    smooth_union,
    subtract,
    union,
)
from cspine_zoo.synthetic.families import ATLAS, FIRST, SHAPE, Families
from cspine_zoo.synthetic.frame import Frame
from cspine_zoo.synthetic.morphometry import CHAIN, SIZES
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.spine import Vertebra

Spine = Mapping[str, Vertebra]


@dataclass(frozen=True, eq=False)
class Body:
    """Surroundings of one spine.

    Attributes:
        spine: the vertebrae that everything hangs on.
        head: frame of the skull; its origin is C1's anterior arch.
        girth: scale of the neck's soft tissue.
        shoulder_drop_mm: how far the shoulders hang below their average place.
        prevertebral_mm: soft tissue between spine and airway above and below C4.
        airway_mm: radius of the airway.
        jaw: whether the field shows a jaw with teeth, or an edentulous one.
        joint: how the skull sits on C1, where that is random.
        cervical_ribs: length of C7's ribs, right and left, against a long one; 0 is none.
    """

    spine: Spine
    head: Frame
    girth: float
    shoulder_drop_mm: float
    prevertebral_mm: tuple[float, float]
    airway_mm: float
    jaw: bool
    joint: Joint | None = None
    cervical_ribs: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, seed: int, spine: Spine, families: Families = FIRST) -> Body:
        """A random body around a spine."""
        rng = stream(seed, "body")
        atlas = spine["C1"].frame
        nod = Rotation.from_euler("xyz", rng.normal(0, 6, 3), degrees=True).as_matrix()
        scale = float(atlas.scale.mean()) * rng.uniform(0.94, 1.06, 3)
        head = Frame(atlas.origin, atlas.rotation @ nod, scale)
        joint = Joint.draw(stream(seed, ATLAS)) if ATLAS in families else None
        if joint:
            head = joint.head_frame(atlas, scale)
        return cls(
            spine=spine,
            head=head,
            girth=rng.uniform(0.8, 1.35),
            shoulder_drop_mm=rng.uniform(-35, 50),
            prevertebral_mm=(rng.uniform(2, 7), rng.uniform(8, 18)),
            airway_mm=rng.uniform(5.5, 10),
            jaw=bool(rng.random() < 0.85),
            joint=joint,
            cervical_ribs=_cervical_ribs(seed) if SHAPE in families else (0.0, 0.0),
        )

    def skull(self, points: Tensor) -> Tensor:
        """Vault, base, condyles, facial bones, jaw and hyoid, without teeth."""
        p = mirrored(self.head.to_local(points))
        vault = subtract(_vault(p, 0.0), _vault(p, 5.5))
        foramen = torch.maximum(
            length(torch.stack((p[0] / 15, (p[1] + 27) / 18))) * 15 - 15,
            p[2] - 45,
        )
        base = smooth_union(
            [
                subtract(vault, foramen),
                self._condyles(p),
                chain(p, [(0, -7, 21), (0, 8, 36), (0, 22, 46)], 6.0),
                capsule(p, (12, 2, 30), (52, -8, 27), 8.5),
                ellipsoid(p, (52, -14, 13), (10, 13, 16)),
            ],
            4.0,
        )
        sinus = ellipsoid(p, (24, 50, 16), (15, 16, 17))
        face = union(
            [
                subtract(sinus, sinus + 1.6),
                rounded_box(p, (0, 50, -4), (22, 22, 2.5), 2.0),
                rounded_box(p, (0, 45, 15), (1.2, 22, 18), 1.0),
                chain(p, [(62, 18, 22), (60, 42, 18), (42, 58, 12)], 4.0),
                chain(
                    torch.stack((p[0], p[1], p[2] * 0.6)),
                    [(24, 40, -5), (18, 60, -5), (0, 71, -5)],
                    3.5,
                ),
                self._mandible(p),
            ]
        )
        hyoid = self._local("C3", points, mirror=True)
        arch = chain(hyoid, [(17, 20, -6), (14, 36, -9), (0, 43, -10)], 2.3)
        return union([base, face, arch])

    def _condyles(self, p: Tensor) -> Tensor:
        if self.joint:
            return self.joint.condyles(p, self.spine["C1"].frame, self.head)
        return ellipsoid(p, (18, -14, 17), (7, 11, 5.5))

    def _mandible(self, p: Tensor) -> Tensor:
        tall = torch.stack((p[0], p[1], p[2] * 0.65))
        ramus = chain(p, [(50, 10, 10), (48, 12, -10), (44, 20, -34)], 4.5, 6.0)
        arc = chain(tall, [(44, 22, -23), (30, 48, -26), (14, 66, -27), (0, 71, -27)], 5.0)
        return smooth_union([ramus, arc], 6.0)

    def teeth(self, points: Tensor) -> Tensor:
        """Both rows of teeth."""
        p = mirrored(self.head.to_local(points))
        upper = chain(p, [(25, 40, -13), (18, 58, -13), (0, 69, -13)], 4.2)
        lower = chain(p, [(25, 40, -24), (18, 57, -24), (0, 67, -24)], 4.2)
        return union([upper, lower])

    def girdle(self, points: Tensor) -> Tensor:
        """Ribs, clavicles, scapulae, humeral heads and manubrium."""
        drop = torch.tensor(
            [[0.0], [0.0], [self.shoulder_drop_mm]], dtype=points.dtype, device=points.device
        )
        p = mirrored(self.spine["T2"].frame.to_local(points))
        q = mirrored(self.spine["T2"].frame.to_local(points + drop))
        parts = [
            chain(q, [(14, 60, 2), (60, 52, 16), (105, 25, 26), (148, 4, 28)], 5.5),
            chain(q, [(85, -62, 12), (120, -48, 26), (158, -14, 34)], 6.0),
            capsule(torch.stack((q[0], q[1], q[2] * 0.4)), (92, -66, -12), (128, -30, -14), 4.0),
            ellipsoid(q, (166, -6, 14), (23, 23, 24)),
            capsule(q, (170, -4, 10), (178, 0, -120), 12.0),
            rounded_box(p, (0, 62, -14), (20, 5, 22), 4.0),
        ]
        for index, level in enumerate(("T1", "T2", "T3", "T4", "T5")):
            reach = (0.62, 0.8, 0.95, 1.08, 1.18)[index]
            local = self._local(level, points, mirror=True)
            path = [(13, -9, 2), (30 * reach, -26, 4), (56 * reach, -24, -4), (76 * reach, 2, -16)]
            path += [(72 * reach, 34, -28), (46 * reach, 54, -36)]
            parts.append(chain(torch.stack((local[0], local[1], local[2] * 0.75)), path, 3.6))
        for side, long in zip((1.0, -1.0), self.cervical_ribs, strict=True):
            if long:
                local = self._local("C7", points)
                rib: list[tuple[float, float, float]] = [
                    (side * 28, -12.0, -2.0),
                    (side * (32 + 10 * long), -2.0, -6.0),
                ]
                rib += [(side * (34 + 8 * long), 22 * long, -8 - 10 * long)]
                parts.append(chain(local, rib, 3.0, 2.2))
        return union(parts)

    def lungs(self, points: Tensor) -> Tensor:
        """Both lungs; the apices reach T1 or T2."""
        p = mirrored(self.spine["T3"].frame.to_local(points))
        return ellipsoid(p, (46, 4, -62), (38, 55, 88))

    def airway(self, points: Tensor) -> Tensor:
        """Nose, pharynx, larynx and trachea."""
        upper, lower = self.prevertebral_mm
        path: list[tuple[float, float, float]] = []
        nose = self.head.to_scene(np.array([0.0, 16.0 + upper, 12.0]))
        path.append((float(nose[0]), float(nose[1]), float(nose[2])))
        for level in CHAIN[1:10]:
            tissue = upper if level in ("C2", "C3", "C4") else lower
            front = self.spine[level].size.half_depth + tissue + self.airway_mm
            x, y, z = self.spine[level].frame.to_scene(np.array([0.0, front, 0.0]))
            path.append((float(x), float(y), float(z)))
        tube = chain(points, path, self.airway_mm)
        nasal = rounded_box(mirrored(self.head.to_local(points)), (7, 42, 15), (5, 24, 15), 3.0)
        return union([tube, nasal])

    def canal(self, points: Tensor) -> Tensor:
        """The spinal canal; the cord is what lies more than 3.5 mm inside."""
        path = []
        for level in CHAIN:
            size = self.spine[level].size
            depth = -8.0 - 0.5 * 18 if level == "C1" else -size.half_depth - 0.5 * size.canal_depth
            x, y, z = self.spine[level].frame.to_scene(np.array([0.0, depth, 0.0]))
            path.append((float(x), float(y), float(z)))
        x, y, z = self.head.to_scene(np.array([0.0, -26.0, 40.0]))
        return chain(points, [(float(x), float(y), float(z)), *path], 8.0)

    def brain(self, points: Tensor) -> Tensor:
        """Inside of the vault."""
        return _vault(self.head.to_local(points), 5.5)

    def cartilage(self, points: Tensor) -> Tensor:
        """Thyroid and cricoid cartilage."""
        p = self._local("C5", points, mirror=True)
        tall = torch.stack((p[0], p[1], p[2] * 0.2))
        thyroid = chain(tall, [(17, 20, 0), (13, 33, 0), (0, 42, 0)], 1.8)
        q = self._local("C6", points, mirror=True)
        cricoid = chain(
            torch.stack((q[0], q[1], q[2] * 0.4)),
            [(0, 17, -8), (10, 22, -8), (11, 30, -8), (0, 36, -8)],
            2.0,
        )
        return union([thyroid, cricoid])

    def skin(self, points: Tensor) -> Tensor:
        """Outline of the body."""
        p = self.head.to_local(points)
        head = smooth_union(
            [
                ellipsoid(p, (0, -5, 92), (79, 95, 81)),
                ellipsoid(p, (0, -42, 38), (62, 54, 48)),
                ellipsoid(p, (0, 30, 15), (66, 68, 75)),
                ellipsoid(p, (0, 42, -32), (48 * self.girth**0.5, 44, 30)),
            ],
            20.0,
        )
        neck_top = self.spine["C2"].frame.to_scene(np.array([0.0, 2.0, 10.0]))
        neck_low = self.spine["T1"].frame.to_scene(np.array([0.0, 10.0, 0.0]))
        radius = 57.0 * self.girth
        neck = capsule(points, list(neck_top), list(neck_low), radius, radius * 1.1)
        drop = torch.tensor(
            [[0.0], [0.0], [self.shoulder_drop_mm]], dtype=points.dtype, device=points.device
        )
        q = self.spine["T2"].frame.to_local(points + drop)
        wide = 0.5 + 0.5 * self.girth
        trunk = smooth_union(
            [
                ellipsoid(q, (0, 0, -95), (215 * wide, 118 * wide, 135)),
                ellipsoid(q, (0, -22, -12), (125 * wide, 62 * wide, 62)),
            ],
            25.0,
        )
        return smooth_union([head, neck, trunk], 30.0)

    def discs(self) -> list[tuple[Frame, tuple[float, float, float]]]:
        """Frame and half sizes of each disc from C2/C3 down."""
        found = []
        for above, below in pairwise(CHAIN[1:]):
            upper, lower = self.spine[above].frame, self.spine[below].frame
            floor = upper.to_scene(np.array([0.0, 0.0, -SIZES[above].half_height]))
            lid = lower.to_scene(np.array([0.0, 0.0, SIZES[below].half_height]))
            half = 0.5 * float(np.linalg.norm(lid - floor)) + 1.0
            frame = Frame(0.5 * (floor + lid), lower.rotation, np.ones(3))
            width = self.spine[below].size.half_width * float(lower.scale[0])
            depth = self.spine[below].size.half_depth * float(lower.scale[1])
            found.append((frame, (width + 0.4, depth + 0.4, half)))
        return found

    def _local(self, level: str, points: Tensor, *, mirror: bool = False) -> Tensor:
        local = self.spine[level].frame.to_local(points)
        return mirrored(local) if mirror else local


def _vault(p: Tensor, depth: float) -> Tensor:
    """The braincase ``depth`` mm below its outside; the posterior fossa reaches C1's height."""
    main = ellipsoid(p, (0, -5, 92), (72 - depth, 88 - depth, 74 - depth))
    fossa = ellipsoid(p, (0, -44, 40), (54 - depth, 44 - depth, 42 - depth))
    return smooth_union([main, fossa], 12.0)


def disc_distance(frame: Frame, half: tuple[float, float, float], points: Tensor) -> Tensor:
    """Distance to one disc."""
    return elliptic_column(frame.to_local(points), (0, 0, 0), half)


def _cervical_ribs(seed: int) -> tuple[float, float]:
    """One neck in twenty has ribs at C7, half of them on one side alone."""
    rng = stream(seed, SHAPE, "ribs")
    there = rng.random(), rng.random(2) < 0.7, rng.uniform(0.2, 1.0, 2)
    right, left = (float(long * has) for has, long in zip(there[1], there[2], strict=True))
    return (right, left) if there[0] < 0.06 else (0.0, 0.0)
