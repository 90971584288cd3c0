"""Every architecture, kept small, with an input for it; whoever adds one adds a case."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from cspine_zoo.models.registry import build

CLASSES = 10
SLICES = 4
EACH_PART_ONCE = ((None, "mean"), ("gru", "top-k"), ("lstm", "attention"))
_NETWORKS: dict[str, nn.Module] = {}


@dataclass(frozen=True)
class Case:
    """One architecture with arguments that keep it small, and an input for it."""

    name: str
    architecture: str
    arguments: dict[str, Any]
    shape: tuple[int, ...]

    def network(self) -> nn.Module:
        """The case's network, made once; whoever changes it takes a copy."""
        if self.name not in _NETWORKS:
            torch.manual_seed(3)
            _NETWORKS[self.name] = build(self.architecture, self.arguments)
        return _NETWORKS[self.name]

    def batch(self) -> Tensor:
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(4))


def vary_vectors(network: nn.Module) -> None:
    """Move norms that begin at 0 and biases below it, behind which nothing would learn."""
    generator = torch.Generator().manual_seed(6)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += torch.rand(parameter.shape, generator=generator)


def without_gradient(network: nn.Module, logits: Tensor) -> list[str]:
    """Parameters that should learn, and get nothing from any of these logits."""
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(5))
    (logits * weights).sum().backward()
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not bool(parameter.grad.abs().sum() > 0))
    ]


def _unet(fold: int) -> Case:
    arguments = {"in_channels": 1, "out_channels": CLASSES, "widths": [4, 6], "fold": fold}
    return Case(f"unet3d-fold{fold}", "unet3d", arguments, (2, 1, 8, 12, 16))


def _plan(backbone: str, decoder: str, **changes: Any) -> dict[str, Any]:
    widths = [12, 8, 8, 4]
    return {"backbone": backbone, "decoder": decoder, "widths": widths, **changes}


def _volume(backbone: str, decoder: str) -> Case:
    arguments = _plan(backbone, decoder, out_channels=CLASSES, carried="stages")
    name = f"{decoder}-3d-{backbone}"
    return Case(name, "volume-segmenter", arguments, (2, 1, 32, 16, 48))


def classifier(sequence: str | None, pooling: str) -> Case:
    arguments = {
        "backbone": "tf_efficientnet_lite0",
        "in_channels": 4,
        "features": 8,
        "sequence": sequence,
        "hidden": 5,
        "pooling": pooling,
        "top_k": 2,
    }
    return Case(f"{sequence}-{pooling}", "slice-classifier", arguments, (2, SLICES, 4, 32, 32))


SEGMENTERS = [
    _unet(1),
    _unet(2),
    Case(
        "unet-25d",
        "slice-segmenter",
        _plan("test_efficientnet", "unet", out_channels=CLASSES, stem=True, carried="everything"),
        (2, 1, 48, 32, 5),
    ),
    _volume("test_efficientnet", "unet"),
    _volume("test_resnet", "manet"),
]
LOCALIZERS = [
    Case(
        "unet-crops",
        "crop-localizer",
        _plan("test_efficientnet", "unet", in_channels=4),
        (2, SLICES, 4, 32, 48),
    )
]
CLASSIFIERS = [
    classifier(*choice) for choice in product((None, "gru", "lstm"), ("mean", "top-k", "attention"))
]
_READER = {
    "backbone": "test_resnet",
    "in_channels": 4,
    "features": None,
    "hidden": 5,
    "layers": 2,
    "dropout": 0.0,
}
PUBLISHED_CLASSIFIERS = [
    Case(
        "bilstm-norm-mlp",
        "slice-classifier",
        {**_READER, "sequence": "lstm", "pooling": "mean", "head": "norm-mlp"},
        (2, SLICES, 4, 32, 32),
    ),
    Case(
        "bigru-attention-features",
        "slice-classifier",
        {
            **_READER,
            "sequence": "gru",
            "pooling": "attention",
            "pooled": "features",
            "head": "mlp",
            "feature_dropout": 0.1,
        },
        (2, SLICES, 4, 32, 32),
    ),
]
SPINES = [
    Case(
        "spine-cells",
        "spine-classifier",
        {
            **_READER,
            "features": 2,
            "encoder_pool": "cells",
            "layers": 1,
            "sequence": "lstm",
            "pooling": "top-k",
            "top_k": 2,
            "head": "norm-mlp",
            "patient": "blend",
        },
        (2, 7, SLICES, 4, 32, 32),
    ),
    Case(
        "spine-any",
        "spine-classifier",
        {**_READER, "sequence": "gru", "pooling": "mean", "patient": "any"},
        (2, 7, SLICES, 4, 32, 32),
    ),
]
CASES = [*SEGMENTERS, *LOCALIZERS, *CLASSIFIERS, *PUBLISHED_CLASSIFIERS, *SPINES]

QUICK = [
    *SEGMENTERS,
    *LOCALIZERS,
    *(case for case in CLASSIFIERS if case.name in {f"{s}-{p}" for s, p in EACH_PART_ONCE}),
    *PUBLISHED_CLASSIFIERS,
    *SPINES,
]
"""One case for each part: for what takes long and does not hang on how parts are combined."""
