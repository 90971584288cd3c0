"""2D networks turned 3D answer to a volume of equal slices as to one of them."""

import pytest
import torch
from torch import Tensor, nn

from cspine_zoo.models.conversion import SameConvolution3d, to_3d
from cspine_zoo.models.encoder_decoder import EncoderDecoder, Plan
from cspine_zoo.models.image_axes import to_images, to_volume
from cspine_zoo.models.timm_import import import_timm

DEPTH = 24


def stacked(images: Tensor) -> Tensor:
    return images[..., None].expand(*images.shape, DEPTH)


def both(flat: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Answer of the 2D network, and of the middle slice of the 3D one."""
    with torch.inference_mode():
        expected = flat.eval()(images)
        answer = to_3d(flat)(stacked(images))
    return expected, answer[..., answer.shape[-1] // 2]


LAYERS = {
    "convolution": lambda: nn.Conv2d(3, 4, 3, padding=1),
    "strided": lambda: nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3, bias=False),
    "same": lambda: import_timm().layers.Conv2dSame(3, 4, 3, stride=2),
    "norm": lambda: nn.BatchNorm2d(3),
    "norm and activation": lambda: import_timm().layers.BatchNormAct2d(3),
    "max pool": lambda: nn.MaxPool2d(3, stride=2, padding=1),
    "average pool": lambda: nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
    "global pool": lambda: nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_equal_slices_give_what_one_gave(layer: str) -> None:
    torch.manual_seed(0)
    flat = LAYERS[layer]()
    for buffer in flat.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    expected, middle = both(flat, torch.randn(2, 3, 11, 14))
    torch.testing.assert_close(middle, expected, atol=1e-5, rtol=1e-4)


def test_a_whole_network_keeps_its_names_and_its_answer() -> None:
    torch.manual_seed(0)
    plan = Plan("test_efficientnet", 3, "unet", [8, 4], carried="stages")
    flat = EncoderDecoder(plan, 3)
    names, frozen = set(flat.state_dict()), [p.requires_grad for p in flat.parameters()]
    expected, middle = both(flat, torch.randn(1, 3, 16, 20))
    torch.testing.assert_close(middle, expected, atol=1e-4, rtol=1e-3)
    assert set(flat.state_dict()) == names  # made 3D in place
    assert [p.requires_grad for p in flat.parameters()] == frozen
    assert {p.ndim for p in flat.parameters()} == {1, 5}


def test_same_padding_halves_odd_and_even_axes_alike() -> None:
    layer = SameConvolution3d(1, 1, 3, stride=2)
    assert layer(torch.zeros(1, 1, 7, 8, 1)).shape[2:] == (4, 4, 1)


def test_a_module_without_a_counterpart_is_named() -> None:
    with pytest.raises(ValueError, match="LPPool2d"):
        to_3d(nn.Sequential(nn.LPPool2d(2, 2)))


def test_volumes_become_images_as_radiology_shows_them() -> None:
    """RAS in; first row anterior, first column the patient's right, first slice the highest."""
    i, j, k = torch.meshgrid(torch.arange(3), torch.arange(4), torch.arange(5), indexing="ij")
    images = to_images(torch.stack((i, j, k))[None])
    assert images.shape == (1, 3, 4, 3, 5)
    assert images[0, :, 0, 0, 0].tolist() == [2, 3, 4]
    assert images[0, :, 1, 0, 0].tolist() == [2, 2, 4]
    assert images[0, :, 0, 1, 0].tolist() == [1, 3, 4]
    assert images[0, :, 0, 0, 1].tolist() == [2, 3, 3]
    assert torch.equal(to_volume(images), torch.stack((i, j, k))[None])
