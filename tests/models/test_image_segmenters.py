"""Networks born on images, over volumes: each voxel keeps its place, and published sizes hold."""

from typing import Any

import pytest
import torch
from torch import nn

from cspine_zoo.models.encoder_decoder import EncoderDecoder, Plan
from cspine_zoo.models.image_encoder import ImageEncoder
from cspine_zoo.models.registry import build
from cspine_zoo.models.slice_segmenter import SliceSegmenter
from cspine_zoo.models.volume_segmenter import VolumeSegmenter
from cspine_zoo.training.presets import PRESETS

VOLUME = torch.arange(2 * 3 * 4 * 5).reshape(2, 1, 3, 4, 5).float()
SMALL: dict[str, Any] = {
    "backbone": "test_efficientnet", "out_channels": 3, "decoder": "unet", "widths": [8, 4],
}  # fmt: skip


def test_a_slice_stands_between_the_one_above_and_the_one_below() -> None:
    network = SliceSegmenter(**SMALL)
    network.network = nn.Identity()  # type: ignore[assignment]
    above, own, below = network(VOLUME).unbind(1)
    assert torch.equal(own, VOLUME[:, 0])
    assert torch.equal(above[..., :-1], VOLUME[:, 0, ..., 1:])
    assert torch.equal(below[..., 1:], VOLUME[:, 0, ..., :-1])
    assert torch.equal(above[..., -1], VOLUME[:, 0, ..., -1])
    assert torch.equal(below[..., 0], VOLUME[:, 0, ..., 0])


def test_portions_of_slices_change_nothing() -> None:
    torch.manual_seed(0)
    network = SliceSegmenter(**SMALL).eval()
    volume = torch.randn(2, 1, 8, 12, 11)
    with torch.inference_mode():
        whole = network(volume)
        single = torch.cat([network(one[None]) for one in volume])
    torch.testing.assert_close(single, whole, atol=1e-5, rtol=1e-4)


def test_a_volume_stands_in_every_channel_and_comes_back_in_place() -> None:
    network = VolumeSegmenter(**SMALL)
    network.network = nn.Identity()
    assert torch.equal(network(VOLUME), VOLUME.expand(-1, 3, -1, -1, -1))


PUBLISHED = {
    "seg-unet25d-effb0": 6_252_484,
    "seg-unet3d-resnet18d": 39_728_967,
    "seg-manet3d-resnet18d": 45_689_575,
    "seg-unet3d-effv2s": 27_341_063,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_after_a_publication_have_its_number_of_parameters(name: str) -> None:
    """6.25, 39.7, 45.7 and 27.3 million."""
    with torch.device("meta"):
        network = build(PRESETS[name].architecture, PRESETS[name].arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == PUBLISHED[name]


def test_the_stem_may_give_the_finest_features() -> None:
    encoder = ImageEncoder("tf_efficientnet_b0", 3, 5, stem=True)
    assert encoder.widths == [32, 24, 40, 112, 320]
    with torch.inference_mode():
        features = encoder.eval()(torch.zeros(1, 3, 64, 32))
    assert [list(f.shape[1:]) for f in features] == [
        [width, 32 >> scale, 16 >> scale] for scale, width in enumerate(encoder.widths)
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"decoder": "fpn"}, "decoder"),
        ({"carried": "luggage"}, "carried"),
        ({"widths": [8] * 6}, "5 stages"),
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        EncoderDecoder(Plan(**SMALL | changes), 3)
