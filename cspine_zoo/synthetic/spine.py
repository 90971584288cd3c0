"""A chain of vertebrae along a curve, each in its own frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation
from torch import Tensor

from cspine_zoo.anatomy import LABEL_OF, THORACIC
from cspine_zoo.synthetic.atlas_rim import Rim, RimmedAtlas
from cspine_zoo.synthetic.craniocervical import Joint, JointedAtlas, JointedAxis
from cspine_zoo.synthetic.families import ATLAS, ATLAS_RIM, FIRST, PITCH, SHAPE, Families
from cspine_zoo.synthetic.fracture import Fracture
from cspine_zoo.synthetic.frame import Frame, Vector
from cspine_zoo.synthetic.habit import Habit, HabitualShape, Wear, build, worn
from cspine_zoo.synthetic.morphometry import CHAIN, SIZES, VertebraSize
from cspine_zoo.synthetic.randomness import Waves, stream
from cspine_zoo.synthetic.stack import Stack
from cspine_zoo.synthetic.vertebra import REACH_MM, Variation, VertebraShape, parametric


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra of the scene: shape, place, individual warp, and its fracture if any.

    ``size`` tells its surroundings how large its body and its canal are.
    """

    level: str
    shape: VertebraShape
    frame: Frame
    warp: Waves
    fracture: Fracture
    size: VertebraSize

    @property
    def label(self) -> int:
        """1-7 for C1-C7, 8 below."""
        return LABEL_OF.get(self.level, THORACIC)

    def to_local(self, points: Tensor) -> Tensor:
        """Frame points (3, n), individual warp included, of scene points (3, n)."""
        local = self.frame.to_local(points)
        return local + self.warp.at(local)

    def distance(self, local: Tensor) -> Tensor:
        """Signed distance in about scene mm of warped frame points (3, n)."""
        return self.fracture.displaced(self.shape, local) * float(self.frame.scale.mean())

    def bounds(self) -> tuple[Vector, Vector]:
        """Scene box around the vertebra."""
        reach = np.array(REACH_MM)
        corners = np.stack(np.meshgrid(*reach, indexing="ij"), -1).reshape(-1, 3)
        scene = self.frame.to_scene(corners)
        return scene.min(0) - 3.0, scene.max(0) + 3.0

    def with_fracture(self, fracture: Fracture) -> Vertebra:
        """The same vertebra, broken (or whole)."""
        return replace(self, fracture=fracture)


@dataclass(frozen=True)
class Posture:
    """Size and curve of one spine.

    Attributes:
        size: scale across the spine.
        stretch: pitch relative to the average, independent of ``size``.
        lordosis_deg: bend from C7 to C2; negative is kyphotic.
        slope_deg: forward tilt of T1.
        depth: scale from front to back against ``size``.
    """

    size: float
    stretch: float
    lordosis_deg: float
    slope_deg: float
    depth: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Posture:
        """A random individual; pitch then runs from 12 to 23 mm between C3 and C7."""
        return cls(
            size=rng.uniform(0.86, 1.16),
            stretch=rng.uniform(0.78, 1.27),
            lordosis_deg=rng.uniform(-15.0, 40.0),
            slope_deg=rng.uniform(8.0, 32.0),
        )

    def varied(self, rng: np.random.Generator) -> Posture:
        """The same pitch in a neck of any curve and size, wider or deeper than usual."""
        return Posture(
            size=rng.uniform(0.85, 1.2),
            stretch=self.stretch,
            lordosis_deg=rng.uniform(-20.0, 40.0),
            slope_deg=rng.uniform(5.0, 38.0),
            depth=rng.uniform(0.9, 1.1),
        )


def build_spine(
    seed: int, shapes: Mapping[str, VertebraShape] | None = None, families: Families = FIRST
) -> dict[str, Vertebra]:
    """A whole spine from C1 to T5, C7's body at the origin.

    Args:
        seed: of the scene.
        shapes: solids to use instead of parametric ones, by level.
        families: what else is random.
    """
    rng = stream(seed, "posture")
    posture = Posture.draw(rng)
    pitches = {
        level: SIZES[level].pitch * posture.stretch * rng.uniform(0.92, 1.08) for level in CHAIN
    }
    gap = rng.uniform(2.2, 6.0)
    stack = Stack(pitches, _height_scales(posture, pitches, gap))
    if PITCH in families:
        stack = Stack.draw(stream(seed, PITCH))
    if SHAPE in families:
        posture = posture.varied(stream(seed, SHAPE, "posture"))
    frames = _frames(rng, posture, stack)
    joint = Joint.draw(stream(seed, ATLAS)) if ATLAS in families else None
    if joint:
        fitted = not {"C1", "C2"} & set(shapes or ())
        frames["C1"] = joint.atlas_frame(frames["C2"], fitted=fitted)
    spine = {}
    for level in CHAIN:
        own = stream(seed, "vertebra", level)
        variation = Variation.draw(own)
        size, shape = _solid(seed, level, variation, joint, families)
        if shapes and level in shapes:
            size, shape = SIZES[level], shapes[level]
        warp = Waves.draw(own, 3, own.uniform(0.3, 1.4), (14.0, 70.0))
        spine[level] = Vertebra(level, shape, frames[level], warp, Fracture.none(), size)
    return spine


def _solid(
    seed: int, level: str, variation: Variation, joint: Joint | None, families: Families
) -> tuple[VertebraSize, VertebraShape]:
    """Size and solid of one parametric vertebra."""
    size = SIZES[level]
    neck, own = stream(seed, SHAPE), stream(seed, SHAPE, level)
    wear, transitional = Wear.draw(neck), neck.random() < 0.04
    if SHAPE in families:
        size, variation = build(own, level, size, wide=transitional), worn(variation, wear)
    shape = parametric(level, size, variation)
    if joint and level in ("C1", "C2"):
        made = JointedAtlas if level == "C1" else JointedAxis
        shape = made(size, variation, joint)
    if level == "C1" and ATLAS_RIM in families:
        rim = Rim.draw(stream(seed, ATLAS_RIM))
        shape = RimmedAtlas(shape, rim) if rim else shape
    if SHAPE in families:
        shape = HabitualShape(shape, Habit.draw(own, level, size, wear))
    return size, shape


def _frames(rng: np.random.Generator, posture: Posture, stack: Stack) -> dict[str, Frame]:
    angles = _sagittal_angles(posture)
    anchor = CHAIN.index("C7")
    origins = {"C7": np.zeros(3)}
    lean = np.cumsum(rng.normal(0, 1.5, len(CHAIN)))
    turn = np.cumsum(rng.normal(0, 1.5, len(CHAIN)))
    rotations = {
        level: Rotation.from_euler(
            "xyz", [-angles[i], lean[i] - lean[anchor], turn[i] - turn[anchor]], degrees=True
        ).as_matrix()
        for i, level in enumerate(CHAIN)
    }
    for i in range(anchor, 1, -1):
        upper, lower = CHAIN[i - 1], CHAIN[i]
        up = rotations[upper][:, 2] + rotations[lower][:, 2]
        origins[upper] = origins[lower] + up / np.linalg.norm(up) * stack.pitches[upper]
    for i in range(anchor, len(CHAIN) - 1):
        upper, lower = CHAIN[i], CHAIN[i + 1]
        up = rotations[upper][:, 2] + rotations[lower][:, 2]
        origins[lower] = origins[upper] - up / np.linalg.norm(up) * stack.pitches[upper]
    frames = {}
    for level in CHAIN[1:]:
        across = posture.size * rng.uniform(0.95, 1.05, 2) * [1.0, posture.depth]
        frames[level] = Frame(
            origins[level], rotations[level], np.array([*across, stack.heights[level]])
        )
    frames["C1"] = _atlas_frame(rng, frames["C2"], posture)
    return {level: frames[level] for level in CHAIN}


def _sagittal_angles(posture: Posture) -> list[float]:
    """Forward tilt in degrees of each level's up axis, from C1 to T5."""
    angles = []
    for i, level in enumerate(CHAIN):
        above_c7 = CHAIN.index("C7") - i
        if above_c7 >= 0:
            angles.append(posture.slope_deg - 4 - posture.lordosis_deg * above_c7 / 5)
        else:
            angles.append(posture.slope_deg * (1 + above_c7 * 0.14))
        if level == "C1":
            angles[0] = 0.0
    return angles


def _height_scales(posture: Posture, pitches: Mapping[str, float], gap: float) -> dict[str, float]:
    """Scale along each vertebra that leaves discs of about ``gap`` mm."""
    scales = {}
    for above, level in pairwise(CHAIN):
        room = pitches[level] if level == "C2" else 0.5 * (pitches[above] + pitches[level])
        disc = gap * posture.stretch * (1.0 if level.startswith("C") else 1.1)
        scales[level] = float(np.clip((room - disc) / (2 * SIZES[level].half_height), 0.72, 1.35))
    scales["C2"] = float(np.clip(0.5 * (scales["C3"] + posture.size), 0.75, 1.3))
    return scales


def _atlas_frame(rng: np.random.Generator, axis: Frame, posture: Posture) -> Frame:
    """C1 on top of C2: over its dens, turned on it as the head is turned."""
    turn = rng.normal(0, 4.0) if rng.random() < 0.8 else rng.uniform(-25, 25)
    nod = rng.normal(0, 5.0)
    rotation = axis.rotation @ Rotation.from_euler("xz", [nod, turn], degrees=True).as_matrix()
    dens = axis.to_scene(np.array([0.0, 1.0, rng.uniform(19.5, 22.5)]))
    scale = posture.size * rng.uniform(0.95, 1.05, 3)
    origin = dens + rotation @ np.array([0.0, 9.5 * scale[1], 0.0])
    return Frame(origin, rotation, scale)
