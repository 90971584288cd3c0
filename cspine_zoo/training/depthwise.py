"""Depthwise convolutions of mixed precision, on a CPU."""

from __future__ import annotations

from types import MethodType

import torch
from torch import Tensor, nn


def depthwise_in_float32(network: nn.Module) -> None:
    """Let a network's grouped convolutions compute in float32 under autocast too; in place.

    In bfloat16 torch's CPU kernels take three to six times as long for their gradients, which made
    a step of an EfficientNet slower than in float32 (oneDNN, torch 2.13; ``benchmarks.training``).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and module.groups > 1:
            module.forward = MethodType(_in_float32, module)  # type: ignore[method-assign]


def _in_float32(module: nn.Module, values: Tensor) -> Tensor:
    with torch.autocast(values.device.type, enabled=False):
        convolved: Tensor = type(module).forward(module, values.float())
    return convolved.to(values.dtype)
