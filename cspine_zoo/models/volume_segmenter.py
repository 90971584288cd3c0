"""3D segmentation with 2D networks that were turned 3D."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor, nn

from cspine_zoo.models.conversion import to_3d
from cspine_zoo.models.encoder_decoder import EncoderDecoder, Plan
from cspine_zoo.models.image_axes import to_images, to_volume

_CHANNELS: Final = 3
"""Of the images that the encoder was made for: the volume stands in each of them."""


class VolumeSegmenter(nn.Module):
    """An encoder from timm and a decoder, all kernels repeated along the slices.

    Args:
        plan: arguments of ``Plan``.

    References:
        1st place of RSNA 2022 (cervical spine), segmentation stage.
    """

    def __init__(self, **plan: Any) -> None:
        super().__init__()
        flat = EncoderDecoder(Plan(**plan), _CHANNELS)
        self._divisor = flat.divisor
        self.network = to_3d(flat)

    @property
    def divisors(self) -> tuple[int, int, int]:
        """Sizes along I, J and K must be multiples of these."""
        return self._divisor, self._divisor, self._divisor

    @property
    def largest_block(self) -> int:
        """Voxels at once: the 128 x 128 x 128 of the source, about 2 GB of features."""
        return 128**3

    def forward(self, volume: Tensor) -> Tensor:
        """Map (N, 1, I, J, K) to logits (N, classes, I, J, K)."""
        images = to_images(volume).expand(-1, _CHANNELS, -1, -1, -1)
        logits: Tensor = self.network(images)
        return to_volume(logits)
