"""2D image encoders from timm that give features at every scale."""

from __future__ import annotations

from typing import Final, cast

from torch import Tensor, nn

from cspine_zoo.models.timm_import import create_backbone

NOTHING: Final = "nothing"
STAGES: Final = "stages"
EVERYTHING: Final = "everything"
_CARRIED: Final = (NOTHING, STAGES, EVERYTHING)


class ImageEncoder(nn.Module):
    """A timm backbone whose stages are read one by one.

    Args:
        backbone: name of a timm architecture; it is built without weights.
        in_channels: channels of an image.
        stages: how many stages are read, finest first; each halves the grid.
        stem: read an EfficientNet-B0 as segmentation_models_pytorch does: the finest features are
            the stem's own, in place of those that timm lists for that scale, and those before the
            coarsest come from the first block of their stage, in place of its last.
        carried: what the network holds beside what is read: ``"nothing"``; ``"stages"``, all of
            them, as timm's ``features_only``; ``"everything"``, the classifier's last convolution
            too, as segmentation_models_pytorch does. Published checkpoints hold such parts, and
            published counts count them; nothing reads them, so they neither run nor learn.

    Attributes:
        widths: channels of the features, finest first.

    Raises:
        ValueError: the backbone has fewer stages, or ``carried`` is none of the three.
    """

    def __init__(
        self,
        backbone: str,
        in_channels: int,
        stages: int,
        *,
        stem: bool = False,
        carried: str = NOTHING,
    ) -> None:
        super().__init__()
        if carried not in _CARRIED:
            raise ValueError(f"carried is one of {', '.join(_CARRIED)}, not {carried!r}")
        self.backbone = create_backbone(backbone, in_chans=in_channels, num_classes=0)
        info = list(self.backbone.feature_info)
        if not 0 < stages <= len(info):
            raise ValueError(f"{backbone} has {len(info)} stages, not {stages}")
        if carried != EVERYTHING:
            kept = len(info) if carried == STAGES else stages
            self.backbone.prune_intermediate_layers(list(range(kept)), prune_head=True)
        self.widths = [int(stage["num_chs"]) for stage in info[:stages]]
        self._choice: dict[str, object] = {"indices": list(range(stages))}
        last = str(info[stages - 1]["module"])
        if stem:
            self.widths[0] = int(self.backbone.conv_stem.out_channels)
            *ends, behind = self.backbone.stage_ends[1:stages]
            _cut_after_first_block(self.backbone, ends[-1] - 1)
            self._choice = {"indices": [0, *ends, behind + 1], "extra_blocks": True}
            last = f"blocks.{behind}"
        _freeze_behind(self.backbone, last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images (B, C, H, W) at every scale, finest first."""
        features = self.backbone.forward_intermediates(
            images, stop_early=True, intermediates_only=True, **self._choice
        )
        return cast(list[Tensor], features)


def _cut_after_first_block(backbone: nn.Module, stage: int) -> None:
    """Make two stages of one, so that what its first block gives can be read."""
    blocks = list(cast(nn.Sequential, backbone.blocks))
    first, *others = cast(nn.Sequential, blocks[stage])
    parts = [nn.Sequential(first), nn.Sequential(*others)]
    backbone.blocks = nn.Sequential(*blocks[:stage], *parts, *blocks[stage + 1 :])


def _freeze_behind(network: nn.Module, last: str) -> None:
    """No gradient for what comes after the module ``last``: it gets none."""
    reached = False
    for name, parameter in network.named_parameters():
        inside = name.startswith(f"{last}.")
        reached = reached or inside
        if reached and not inside:
            parameter.requires_grad_(False)
