"""Architectures by the name that manifest rows use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from cspine_zoo.errors import WeightsError
from cspine_zoo.models.crop_localizer import CropLocalizer
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.slice_segmenter import SliceSegmenter
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.models.unet3d import UNet3D
from cspine_zoo.models.volume_segmenter import VolumeSegmenter

ARCHITECTURES: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "unet3d": UNet3D,
    "slice-segmenter": SliceSegmenter,
    "volume-segmenter": VolumeSegmenter,
    "crop-localizer": CropLocalizer,
    "slice-classifier": SliceClassifier,
    "spine-classifier": SpineClassifier,
}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build an architecture with untrained parameters.

    Raises:
        WeightsError: no architecture has this name, or it does not take these arguments.
    """
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise WeightsError(
            "unknown_architecture", f"there is no architecture {name!r}", hint=f"Known: {known}."
        )
    try:
        return ARCHITECTURES[name](**arguments)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(
            "bad_architecture", f"{name} cannot be built with {dict(arguments)}: {error}"
        ) from error
