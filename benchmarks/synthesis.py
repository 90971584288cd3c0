"""Where the time of a synthetic study goes; prints stages and studies a minute.

``python -m benchmarks.synthesis [SEEDS] [DEVICE]``. Figures are processor seconds of one thread,
so that a busy machine does not blur them; studies a minute are for two cores, twins count as two.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.families import ALL, FIRST, Families
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scan import scanned
from cspine_zoo.synthetic.scene import Scene

T = TypeVar("T")
CORES = 2


class Clock:
    """Processor seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], T]) -> T:
        """What the work gives; its seconds are added to the stage."""
        began = time.process_time()
        result = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - began
        return result


def field_of_view(scene: Scene) -> Geometry:
    """A neck with some head and thorax at .7 x .7 x 1 mm."""
    spacing, side = (0.7, 0.7, 1.0), 180.0
    top, bottom = scene.world("C1")[2] + 30.0, scene.world("C7")[2] - 30.0
    centre = scene.world("C4")
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [centre[0] - side / 2, centre[1] - 4.0 - side / 2, bottom]
    pixels = round(side / spacing[0])
    return Geometry((pixels, pixels, round(top - bottom)), affine)


def make(clock: Clock, seed: int, families: Families, device: str) -> None:
    """One pair of twins, as ``draw_twins`` makes them."""
    scene = clock.time("scene", lambda: Scene.draw(seed, families=families))
    broken = clock.time("fractures", scene.fractured)
    geometry = field_of_view(scene)
    acquisition = Acquisition.draw(stream(seed, "bench"), (1.0, 1.3)).varied(seed, families)

    for twin in (broken, scene):
        drawn = clock.time("render", partial(render, twin, geometry, device))
        clock.time("acquisition", partial(scanned, drawn, twin, acquisition))


def main(arguments: Sequence[str]) -> None:
    """Time the first generation and all families."""
    torch.set_num_threads(1)
    seeds, device = int(arguments[0]) if arguments else 3, "".join(arguments[1:2]) or "cpu"
    for name, families in (("first generation", FIRST), ("all families", ALL)):
        clock = Clock()
        for seed in range(seeds):
            make(clock, seed, families, device)
        studies = 2 * seeds
        each = sum(clock.seconds.values()) / studies
        print(f"{name}: {each:.1f} s a study, {60 * CORES / each:.1f} studies a minute")
        for stage, seconds in clock.seconds.items():
            print(f"  {stage:12s} {seconds / studies:6.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
