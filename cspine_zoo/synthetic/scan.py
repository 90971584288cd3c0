"""From a rendered scene to what a scanner makes of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.render import Rendered
from cspine_zoo.synthetic.scene import Scene


def scanned(rendered: Rendered, scene: Scene, acquisition: Acquisition) -> Tensor:
    """Whole HU (I, J, K) as float32, on the device that the scene was rendered on.

    The noise hangs on the scene's seed alone: twins share it.
    """
    geometry = rendered.geometry
    return acquisition.apply(
        rendered.hu,
        geometry.spacing_mm,
        scene.seed,
        shoulders(scene, geometry),
        rendered.averaged_mm,
    )


def shoulders(scene: Scene, geometry: Geometry) -> Tensor:
    """(K,) 0 at the neck to 1 between the shoulders, along the slices of a grid."""
    k = np.arange(geometry.shape[2])
    z = geometry.to_world(np.stack([0 * k, 0 * k, k], axis=1).astype(float))[:, 2]
    depth = scene.world("C7")[2] + 8.0 - z - 0.3 * scene.body.shoulder_drop_mm
    return torch.from_numpy((1 / (1 + np.exp(-depth / 8.0))).astype(np.float32))
