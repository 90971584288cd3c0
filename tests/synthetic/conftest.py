"""Scenes and renderings that several tests look at, made once."""

import numpy as np
import pytest

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.render import Rendered, render
from cspine_zoo.synthetic.scene import Scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene.draw(11)


@pytest.fixture(scope="session")
def neck_grid(scene: Scene) -> Geometry:
    """All of C1 to C7 on 4.5 mm voxels."""
    return grid_around(np.asarray(scene.world("C4")) - [0, 12, 0], (26, 26, 42), 4.5)


@pytest.fixture(scope="session")
def rendered(scene: Scene, neck_grid: Geometry) -> Rendered:
    return render(scene, neck_grid)


def grid_around(centre: np.ndarray, shape: tuple[int, int, int], spacing_mm: float) -> Geometry:
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = centre - 0.5 * spacing_mm * (np.array(shape) - 1)
    return Geometry(shape, affine)
