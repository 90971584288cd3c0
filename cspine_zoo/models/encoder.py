"""2D image encoders from timm, one feature vector a slice."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from cspine_zoo.models.timm_import import import_timm


class SliceEncoder(nn.Module):
    """A timm backbone with global pooling and a projection.

    Args:
        backbone: name of a timm architecture; it is built without weights.
        in_channels: channels of a slice image.
        features: length of the projected feature vector.
        pool: timm's name of the pooling over a slice: ``"avg"``, or ``"avgmax"``, their mean,
            in which a small finding is not diluted.
    """

    def __init__(self, backbone: str, in_channels: int, features: int, pool: str = "avg") -> None:
        super().__init__()
        timm = import_timm()
        self.backbone = timm.create_model(
            backbone, pretrained=False, in_chans=in_channels, num_classes=0, global_pool=pool
        )
        self.project = nn.Sequential(nn.Linear(self.backbone.num_features, features), nn.ReLU())

    def forward(self, slices: Tensor) -> Tensor:
        """Map (N, S, C, H, W) to features (N, S, F)."""
        studies, count = slices.shape[:2]
        features: Tensor = self.project(self.backbone(slices.flatten(0, 1)))
        return cast(Tensor, features.unflatten(0, (studies, count)))
