"""Images to classes of every pixel: an encoder, a decoder and a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from cspine_zoo.models.image_encoder import NOTHING, ImageEncoder
from cspine_zoo.models.manet_decoder import MAnetDecoder
from cspine_zoo.models.unet_decoder import UNetDecoder

DECODERS: Final[Mapping[str, Callable[[Sequence[int], Sequence[int]], nn.Module]]] = {
    "unet": UNetDecoder,
    "manet": MAnetDecoder,
}


@dataclass(frozen=True)
class Plan:
    """What such a network is made of, as manifest rows name it.

    Attributes:
        backbone: timm architecture of the encoder.
        out_channels: classes.
        decoder: ``"unet"`` or ``"manet"``.
        widths: channels of the decoder's blocks, coarsest first; as many scales are read.
        stem: see ``ImageEncoder``.
        carried: see ``ImageEncoder``.
    """

    backbone: str
    out_channels: int
    decoder: str
    widths: Sequence[int]
    stem: bool = False
    carried: str = NOTHING


class EncoderDecoder(nn.Module):
    """An image encoder from timm under a decoder with skip connections.

    Args:
        plan: of the network.
        in_channels: channels of an image.
    """

    def __init__(self, plan: Plan, in_channels: int) -> None:
        super().__init__()
        if plan.decoder not in DECODERS:
            raise ValueError(f"decoder is one of {', '.join(DECODERS)}, not {plan.decoder!r}")
        self.encoder = ImageEncoder(
            plan.backbone, in_channels, len(plan.widths), stem=plan.stem, carried=plan.carried
        )
        self.decoder = DECODERS[plan.decoder](self.encoder.widths, plan.widths)
        self.head = nn.Conv2d(plan.widths[-1], plan.out_channels, kernel_size=3, padding=1)
        self.divisor = 2 ** len(plan.widths)
        """Height and width of an image must be multiples of this."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, classes, H, W)."""
        logits: Tensor = self.head(self.decoder(self.encoder(images)))
        return logits
