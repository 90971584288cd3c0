"""2D networks made 3D by repeating their kernels along a third axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor, nn
from torch.nn import functional


def to_3d(network: nn.Module) -> nn.Module:
    """The same network over (B, C, H, W, D), module by module under the same names.

    A kernel is repeated along the new last axis and divided by its depth: a volume that does not
    change along D then gives what its images gave, away from the ends. Modules without an idea of
    space stay. Squeeze and excitation of timm averages over H and W and stays so: it weighs the
    channels of every slice along D for itself.

    Args:
        network: its modules are replaced in place.

    Returns:
        The network, or its replacement where it is a single module.

    Raises:
        ValueError: a module of two dimensions has no counterpart here.

    References:
        Carreira and Zisserman, "Quo vadis, action recognition?", CVPR 2017 (inflated kernels).
    """
    for name, child in network.named_children():
        setattr(network, name, to_3d(child))
    kind = type(network).__name__
    if kind in _COUNTERPARTS:
        return _COUNTERPARTS[kind](network).train(network.training)
    if kind.endswith("2d") and not any(True for _ in network.children()):
        raise ValueError(f"{kind} cannot be made 3D; known: {', '.join(_COUNTERPARTS)}")
    return network


class SameConvolution3d(nn.Conv3d):
    """Pads so that an axis of n becomes ceil(n / stride), as TensorFlow does."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W, D) to (B, out, H / stride, W / stride, D / stride)."""
        padding: list[int] = []
        geometry = zip(images.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        for size, kernel, stride, dilation in geometry:
            reach = (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1
            missing = max(reach - size, 0)
            # functional.pad names the last axis first.
            padding = [missing // 2, missing - missing // 2, *padding]
        return super().forward(functional.pad(images, padding))


class NormActivation3d(nn.BatchNorm3d):
    """Batch norm followed by an activation, as timm joins them."""

    drop: nn.Module
    act: nn.Module

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W, D) to the same shape."""
        result: Tensor = self.act(self.drop(super().forward(images)))
        return result


def _convolution(flat: Any, kind: type[nn.Conv3d] = nn.Conv3d) -> nn.Conv3d:
    depth = flat.kernel_size[0]
    solid = kind(
        flat.in_channels,
        flat.out_channels,
        _thrice(flat.kernel_size),
        _thrice(flat.stride),
        _thrice(flat.padding),
        _thrice(flat.dilation),
        flat.groups,
        flat.bias is not None,
        flat.padding_mode,
        device=flat.weight.device,
    )
    repeated = flat.weight.detach()[..., None].repeat(1, 1, 1, 1, depth) / depth
    solid.weight = nn.Parameter(repeated, requires_grad=flat.weight.requires_grad)
    solid.bias = flat.bias
    return solid


def _same_convolution(flat: Any) -> nn.Conv3d:
    return _convolution(flat, SameConvolution3d)


def _norm(flat: Any, kind: type[nn.BatchNorm3d] = nn.BatchNorm3d) -> nn.BatchNorm3d:
    solid = kind(
        flat.num_features,
        flat.eps,
        flat.momentum,
        flat.affine,
        flat.track_running_stats,
        device=flat.weight.device if flat.affine else None,
    )
    solid._parameters.update(flat._parameters)
    solid._buffers.update(flat._buffers)
    return solid


def _norm_activation(flat: Any) -> NormActivation3d:
    solid = _norm(flat, NormActivation3d)
    if not isinstance(solid, NormActivation3d):
        raise TypeError(f"{type(solid).__name__} is no norm with an activation")
    solid.drop, solid.act = flat.drop, flat.act
    return solid


def _max_pool(flat: Any) -> nn.MaxPool3d:
    return nn.MaxPool3d(
        flat.kernel_size, flat.stride, flat.padding, flat.dilation, ceil_mode=flat.ceil_mode
    )


def _average_pool(flat: Any) -> nn.AvgPool3d:
    return nn.AvgPool3d(
        flat.kernel_size, flat.stride, flat.padding, flat.ceil_mode, flat.count_include_pad
    )


def _adaptive_pool(flat: Any) -> nn.AdaptiveAvgPool3d:
    return nn.AdaptiveAvgPool3d(flat.output_size)


def _thrice(pair: tuple[int, int]) -> tuple[int, int, int]:
    """Along the new axis as along the first."""
    return pair[0], pair[1], pair[0]


_COUNTERPARTS: Final[Mapping[str, Callable[[Any], nn.Module]]] = {
    "Conv2d": _convolution,
    "Conv2dSame": _same_convolution,
    "BatchNorm2d": _norm,
    "BatchNormAct2d": _norm_activation,
    "MaxPool2d": _max_pool,
    "AvgPool2d": _average_pool,
    "AdaptiveAvgPool2d": _adaptive_pool,
}
