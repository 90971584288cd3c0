"""How the segmenters are trained."""

from __future__ import annotations

from typing import Final

from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.synthetic.patches import PatchPreset
from cspine_zoo.training.recipes import SegmenterPreset

SEGMENTER: Final = SegmenterPreset(
    name="seg-unet3d-small",
    architecture="unet3d",
    arguments={"in_channels": 1, "out_channels": 10, "widths": [32, 64, 96, 128], "fold": 2},
    preprocess=Preprocess(
        orientation="RAS",
        spacing_mm=(2.5, 2.5, 2.5),
        window=Window(level=300.0, width=1600.0),
        crop_mm=None,
        size_px=None,
        n_slices=None,
        neighbour_mm=None,
        channels=("slice",),
    ),
    patches=PatchPreset(),
    steps=2600,
    learning_rate=1.2e-3,
    seed=2,
)

SEGMENTERS: Final = (SEGMENTER,)
