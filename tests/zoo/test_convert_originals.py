"""Both source systems' networks, built straight from timm and torch, give the same once converted.

Theirs see slices from the head down, ours from below: the test turns the input round, as
preprocessing does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cspine_zoo.conversion.convert import convert
from cspine_zoo.conversion.layouts import layout_of
from cspine_zoo.conversion.names import translate
from cspine_zoo.models.image_axes import to_volume
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.registry import build
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.manifest import Architecture, read_manifest
from cspine_zoo.zoo.model import ZooModel
from tests.zoo import originals

Wrap = Callable[[dict[str, Tensor]], Any]


def _plain(state: dict[str, Tensor]) -> Any:
    return state


def _last(state: dict[str, Tensor]) -> Any:
    """As their training loops save the last epoch, from DataParallel."""
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    return {"epoch": 3, "model_state_dict": wrapped, "scaler_state_dict": None}


def _converted(name: str, original: nn.Module, folder: Path, wrap: Wrap = _plain) -> ZooModel:
    published = originals.parameters(original)
    assert published == read_manifest()[name].parameters
    torch.save(wrap(original.state_dict()), folder / "original.pth")
    convert(folder / "original.pth", name, folder / "ours.safetensors")
    return load_model(folder / "ours.safetensors", device="cpu")


def _images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _agree(ours: Tensor, theirs: Tensor) -> None:
    """To 1e-5 of the largest output, or of 1 where that is larger."""
    assert float(theirs.std()) > 0.01  # else anything would agree
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= 1e-5 * max(1.0, float(theirs.abs().max()))


@torch.inference_mode()
def test_a_small_network_of_the_same_build(tmp_path: Path) -> None:
    """The whole way for the default run, on an encoder that timm keeps for tests."""
    entry = read_manifest()["cls-bilstm-resnet18"]
    small = Architecture(
        entry.architecture.name, entry.architecture.arguments | {"backbone": "test_resnet"}
    )
    row = tmp_path / "row.safetensors"
    checkpoint.write(build(small.name, small.arguments), replace(entry, architecture=small), row)
    original = originals.unlike_new(originals.PerVertebra("test_resnet"))
    torch.save(_last(original.state_dict()), tmp_path / "original.pth")
    convert(tmp_path / "original.pth", row, tmp_path / "ours.safetensors")
    model = load_model(tmp_path / "ours.safetensors", device="cpu")
    from_above = _images(2, 5, 6, 32, 32)
    output: ClassifierOutput = model(from_above.flip(1))
    _agree(output.slice_logits.flip(1), original(from_above))


def test_every_name_of_the_slice_network_has_its_place() -> None:
    architecture = read_manifest()["seg-unet25d-effb0"].architecture
    with torch.device("meta"):
        theirs = originals.SliceUnet().state_dict()
        ours = build(architecture.name, architecture.arguments).state_dict()
    table = layout_of(architecture)
    places = {translate(name, table): tensor.shape for name, tensor in theirs.items()}
    assert places == {name: tensor.shape for name, tensor in ours.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone"),
    [("cls-bilstm-resnet18", "resnet18"), ("cls-bilstm-effv2s", "tf_efficientnetv2_s")],
)
@torch.inference_mode()
def test_one_vertebra_at_a_time(name: str, backbone: str, tmp_path: Path) -> None:
    original = originals.unlike_new(originals.PerVertebra(backbone))
    model = _converted(name, original, tmp_path, _last)
    assert model.preprocess.channels == ("+2", "next", "slice", "previous", "-2", "mask")
    from_above = _images(2, 5, 6, 64, 64)
    output: ClassifierOutput = model(from_above.flip(1))
    _agree(output.slice_logits.flip(1), original(from_above))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cls-seven-bilstm-vgg16", "cls-seven-bilstm-convnext-nano"])
@torch.inference_mode()
def test_seven_vertebrae_at_once(name: str, tmp_path: Path) -> None:
    built = originals.VggSeven() if "vgg" in name else originals.SevenVertebrae("convnext_nano")
    original = originals.unlike_new(built)
    model = _converted(name, original, tmp_path)
    side = 224 if "vgg" in name else 64
    count = 1 if "vgg" in name else 2
    from_above = _images(1, 7 * count, 6, side, side)
    output: ClassifierOutput = model(from_above.unflatten(1, (7, count)).flip(2))
    slices, patient = original(from_above)
    _agree(output.slice_logits.flip(2).flatten(1), slices)
    assert output.patient_logit is not None
    torch.testing.assert_close(output.patient_logit, patient, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("cls-bigru-attention-effv2s", "tf_efficientnetv2_s"),
        ("cls-bigru-attention-resnest50d", "resnest50d"),
    ],
)
@torch.inference_mode()
def test_attention_over_slices(name: str, backbone: str, tmp_path: Path) -> None:
    original = originals.unlike_new(originals.AttentionGRU(backbone))
    model = _converted(name, original, tmp_path)
    assert model.preprocess.channels == ("next", "slice", "previous")
    from_above = _images(3, 4, 3, 64, 64)
    output: ClassifierOutput = model(from_above.flip(1))
    _agree(output.logit, original(from_above))


@pytest.mark.slow
@torch.inference_mode()
def test_slices_of_a_neck(tmp_path: Path) -> None:
    original = originals.unlike_new(originals.SliceUnet())
    model = _converted("seg-unet25d-effb0", original, tmp_path)
    neck = _images(1, 1, 64, 96, 3)  # rows, columns, slices from the head down
    _agree(model(to_volume(neck)), to_volume(_everywhere(original, neck)))


def _everywhere(original: nn.Module, neck: Tensor) -> Tensor:
    """Each slice between its neighbours; at the ends a slice is its own neighbour."""
    slices = neck[0, 0].unbind(-1)
    last = len(slices) - 1
    stacks = [
        torch.stack([slices[max(i - 1, 0)], slices[i], slices[min(i + 1, last)]])
        for i in range(len(slices))
    ]
    logits: Tensor = original(torch.stack(stacks))
    return logits.movedim(0, -1)[None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone", "manet"),
    [
        ("seg-unet3d-resnet18d", "resnet18d", False),
        ("seg-manet3d-resnet18d", "resnet18d", True),
        ("seg-unet3d-effv2s", "tf_efficientnetv2_s", False),
    ],
)
@torch.inference_mode()
def test_necks_as_volumes(name: str, backbone: str, manet: bool, tmp_path: Path) -> None:
    original = originals.unlike_new(originals.VolumeSegmenter(backbone, manet))
    model = _converted(name, original, tmp_path)
    neck = _images(1, 1, 32, 48, 32)
    theirs = original(neck.expand(-1, 3, -1, -1, -1))
    _agree(model(to_volume(neck)), to_volume(theirs))
