"""2D image encoders from timm, one feature vector a slice."""

from __future__ import annotations

from typing import Final, cast

from torch import Tensor, nn

from cspine_zoo.models.float32 import first_stages_in_float32
from cspine_zoo.models.timm_import import create_backbone

_CELLS: Final = "cells"
_GRID: Final = 7
"""Cells along each side of the last feature map that ``"cells"`` keeps: 224 px at stride 32."""


class SliceEncoder(nn.Module):
    """A timm backbone, pooled over a slice's pixels, with or without a projection.

    Args:
        backbone: name of a timm architecture; it is built without weights.
        in_channels: channels of a slice image.
        features: length of the projected feature vector; None leaves the backbone's own. With
            ``"cells"``, channels that each cell is projected to.
        pool: timm's name of the pooling over a slice: ``"avg"``, or ``"avgmax"``, their mean,
            in which a small finding is not diluted. ``"cells"`` pools nothing: the 7 x 7 cells
            of the last feature map stand one after another in the feature vector.

    Attributes:
        out_features: length of the feature vector.

    Raises:
        ValueError: cells need a number of features.
    """

    def __init__(
        self, backbone: str, in_channels: int, features: int | None, pool: str = "avg"
    ) -> None:
        super().__init__()
        self.backbone = create_backbone(
            backbone,
            in_chans=in_channels,
            num_classes=0,
            global_pool="" if pool == _CELLS else pool,
        )
        first_stages_in_float32(self.backbone)
        width = int(self.backbone.num_features)
        self.cells = pool == _CELLS
        self.project: nn.Module = nn.Identity()
        self.out_features = features or width
        if self.cells:
            if features is None:
                raise ValueError("cells need a number of features")
            # What timm keeps behind VGG's feature map: 120 M parameters that nothing would use.
            self.backbone.pre_logits = nn.Identity()
            self.project = nn.Sequential(
                nn.Conv2d(width, features, kernel_size=1), nn.AdaptiveAvgPool2d(_GRID), nn.Flatten()
            )
            self.out_features = features * _GRID**2
        elif features is not None:
            self.project = nn.Sequential(nn.Linear(width, features), nn.ReLU())

    def forward(self, slices: Tensor) -> Tensor:
        """Map (N, S, C, H, W) to features (N, S, F)."""
        leading = slices.shape[:2]
        images = slices.flatten(0, 1)
        seen = self.backbone.forward_features(images) if self.cells else self.backbone(images)
        features: Tensor = self.project(seen)
        return cast(Tensor, features.unflatten(0, leading))

    def scales(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features (B, F) of images (B, C, H, W), with the maps that they are made from.

        Returns:
            The features that ``forward`` gives for these slices, and the feature maps
            (B, channels, rows, columns) of every stage of the backbone, finest first.
        """
        last, maps = self.backbone.forward_intermediates(images)
        pooled = last if self.cells else self.backbone.forward_head(last)
        return self.project(pooled), [*maps, last]
