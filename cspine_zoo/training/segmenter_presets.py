"""How the segmenters are trained."""

from __future__ import annotations

from typing import Any, Final

from cspine_zoo.anatomy import CLASSES, LEVELS, THORACIC
from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.synthetic.families import ALL
from cspine_zoo.synthetic.patches import PatchPreset
from cspine_zoo.training.recipes import FIRST_SOURCE, SECOND_SOURCE, SegmenterPreset

_WIDTHS: Final = [256, 128, 64, 32]
"""Channels of the published decoders."""


def _grid(spacing_mm: tuple[float, float, float]) -> Preprocess:
    return Preprocess(
        orientation="RAS",
        spacing_mm=spacing_mm,
        window=Window(level=300.0, width=1600.0),
        crop_mm=None,
        size_px=None,
        n_slices=None,
        neighbour_mm=None,
        channels=("slice",),
    )


_SMALL_MM: Final = 2.0

SEGMENTER: Final = SegmenterPreset(
    name="seg-unet3d-small",
    architecture="unet3d",
    arguments={"in_channels": 1, "out_channels": 10, "widths": [32, 64, 96, 128], "fold": 2},
    preprocess=_grid((_SMALL_MM, _SMALL_MM, _SMALL_MM)),
    patches=PatchPreset(
        shapes=((48, 64, 64), (64, 64, 48), (48, 48, 96), (64, 48, 64)),
        spacing_mm=_SMALL_MM,
        families=ALL,
        family_share=0.5,
    ),
    steps=2600,
    learning_rate=1e-3,
    seed=3,
)

_SLICE_MM: Final = (0.8, 0.8, 2.0)
"""320 px then hold 256 mm, the field of view of a neck."""

_UNET_25D: Final = SegmenterPreset(
    name="seg-unet25d-effb0",
    architecture="slice-segmenter",
    arguments={
        "backbone": "tf_efficientnet_b0",
        "out_channels": 8,
        "decoder": "unet",
        "widths": [*_WIDTHS, 16],
        "stem": True,
        "carried": "everything",
    },
    preprocess=_grid(_SLICE_MM),
    patches=PatchPreset(shapes=((320, 320, 8),), spacing_mm=_SLICE_MM, families=ALL),
    steps=6000,
    labels=(*LEVELS, CLASSES[THORACIC]),
    learning_rate=5e-3,
    warm_up=1 / 15,
    weight_decay=1e-2,
    seed=3,
    source=SECOND_SOURCE,
)
"""One epoch of 15 is warm-up there."""


def _solid(name: str, backbone: str, decoder: str, seed: int) -> SegmenterPreset:
    """A 3D network of the other source, over 256 mm of the neck."""
    arguments: dict[str, Any] = {
        "backbone": backbone,
        "out_channels": len(LEVELS),
        "decoder": decoder,
        "widths": _WIDTHS,
        "carried": "stages",
    }
    return SegmenterPreset(
        name=name,
        architecture="volume-segmenter",
        arguments=arguments,
        preprocess=_grid((2.0, 2.0, 2.0)),
        patches=PatchPreset(shapes=((96, 96, 128),), spacing_mm=2.0, families=ALL),
        steps=6000,
        labels=LEVELS,
        batch=4,
        learning_rate=3e-4,
        weight_decay=1e-2,
        seed=seed,
        source=FIRST_SOURCE,
    )


SEGMENTERS: Final = (
    SEGMENTER,
    _UNET_25D,
    _solid("seg-unet3d-resnet18d", "resnet18d", "unet", 4),
    _solid("seg-manet3d-resnet18d", "resnet18d", "manet", 5),
    _solid("seg-unet3d-effv2s", "tf_efficientnetv2_s", "unet", 6),
)
