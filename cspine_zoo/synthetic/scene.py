"""One synthetic patient: everything that is there before a scanner looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.synthetic.body import Body
from cspine_zoo.synthetic.families import FIRST, VIEW, Families
from cspine_zoo.synthetic.fracture import Fracture, draw_fracture, draw_levels
from cspine_zoo.synthetic.frame import Frame
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.spine import Vertebra, build_spine
from cspine_zoo.synthetic.tissue import Tissues
from cspine_zoo.synthetic.vertebra import VertebraShape


@dataclass(frozen=True, eq=False)
class Scene:
    """A patient on the table.

    Attributes:
        seed: every random part derives from it by name.
        spine: C1 to T5.
        body: everything around the spine.
        tissues: Hounsfield units.
        pose: frame of the scene in the scanner (world mm).
        anatomy: where the cervical shapes come from: ``"parametric"``, ``"label-map"`` or both.
        families: what else is random in it.
    """

    seed: int
    spine: Mapping[str, Vertebra]
    body: Body
    tissues: Tissues
    pose: Frame
    anatomy: str
    families: Families = FIRST

    @classmethod
    def draw(
        cls,
        seed: int,
        shapes: Mapping[str, VertebraShape] | None = None,
        families: Families = FIRST,
    ) -> Scene:
        """A random patient without fracture.

        Args:
            seed: same seed, same patient.
            shapes: vertebra solids to use instead of parametric ones, by level.
            families: what else is random; each draws from streams of its own.
        """
        spine = build_spine(seed, shapes, families)
        rng = stream(seed, "pose")
        tilt = rng.normal(0, [7.0, 5.0, 6.0]).clip(-20, 20)
        view = stream(seed, VIEW)
        if VIEW in families and view.random() < 0.5:
            tilt = view.uniform(-20, 20, 3)
        pose = Frame(
            rng.uniform(-30, 30, 3),
            Rotation.from_euler("xyz", tilt, degrees=True).as_matrix(),
            np.ones(3),
        )
        tissues = Tissues.draw(stream(seed, "tissue"))
        anatomy = (
            "parametric" if not shapes else "label-map" if len(shapes) == len(LEVELS) else "mixed"
        )
        return cls(seed, spine, Body.draw(seed, spine, families), tissues, pose, anatomy, families)

    def fractured(self) -> Scene:
        """The same patient after a trauma: one or more levels broken, all else unchanged."""
        rng = stream(self.seed, "fracture")
        return self.with_fractures(
            {
                level: draw_fracture(rng, level, self.spine[level].shape)
                for level in draw_levels(rng)
            }
        )

    def with_fractures(self, fractures: Mapping[str, Fracture]) -> Scene:
        """The same patient with the given fractures."""
        broken = {
            level: self.spine[level].with_fracture(fracture)
            for level, fracture in fractures.items()
        }
        return replace(self, spine={**self.spine, **broken})

    def world(self, level: str) -> np.ndarray:
        """World position in mm of a vertebra's origin."""
        return self.pose.to_scene(self.spine[level].frame.origin)
