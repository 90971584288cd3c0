"""Which parts of a classifier ignore autocast."""

import copy
import pickle

import pytest
import torch

from cspine_zoo.models.slice_classifier import SliceClassifier


def _kinds(backbone: str, training: bool) -> list[torch.dtype]:
    """What leaves each stage of the backbone under autocast."""
    network = SliceClassifier(
        backbone=backbone, in_channels=4, features=8, sequence="gru", hidden=4, pooling="attention"
    ).train(training)
    encoder = network.encoder.backbone
    kinds: list[torch.dtype] = []
    for stage in encoder.feature_info:
        encoder.get_submodule(stage["module"]).register_forward_hook(
            lambda _, __, out: kinds.append(out.dtype)
        )
    with torch.autocast("cpu", torch.bfloat16):
        output = network(torch.randn(2, 3, 4, 64, 64))
    if not training:
        assert output.logit.dtype == output.slice_logits.dtype == torch.float32
    return kinds


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "resnet18", "convnext_atto"])
def test_the_first_stages_are_exact_and_the_others_are_not(backbone: str) -> None:
    kinds = _kinds(backbone, training=False)
    strides = [s["reduction"] for s in _info(backbone)]
    for stride, kind in zip(strides, kinds, strict=True):
        if stride <= 8:
            assert kind == torch.float32, stride
    if backbone != "convnext_atto":  # its layer norms are float32 everywhere
        assert kinds[-1] == torch.bfloat16
        assert set(_kinds(backbone, training=True)) == {torch.bfloat16}


def test_copies_compute_with_their_own_weights() -> None:
    network = SliceClassifier(
        backbone="resnet18", in_channels=4, features=8, sequence=None, hidden=4, pooling="mean"
    ).eval()
    images = torch.randn(1, 2, 4, 64, 64)
    before = network(images).logit
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        torch.testing.assert_close(again(images).logit, before)
        torch.nn.init.zeros_(again.encoder.backbone.conv1.weight)
        assert not torch.allclose(again(images).logit, before)
    torch.testing.assert_close(network(images).logit, before)


def test_a_backbone_without_fine_stages_has_none() -> None:
    SliceClassifier(
        backbone="vit_tiny_patch16_224",
        in_channels=4,
        features=8,
        sequence=None,
        hidden=4,
        pooling="mean",
    )


def _info(backbone: str) -> list[dict[str, int]]:
    encoder = SliceClassifier(
        backbone=backbone, in_channels=4, features=8, sequence=None, hidden=4, pooling="mean"
    ).encoder
    return list(encoder.backbone.feature_info)
