"""The source systems' networks as their notebooks build them: straight from timm and torch.

Nothing of cspine_zoo is used here but its way to import timm. Names of modules are theirs, since
checkpoints hold those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.models.timm_import import import_timm

timm = import_timm()


def norm_head(features: int, units: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, units),
        nn.BatchNorm1d(units),
        nn.Dropout(0.3),
        nn.LeakyReLU(0.1),
        nn.Linear(units, 1),
    )


class PerVertebra(nn.Module):
    """System 1, one vertebra, with the features that its code meant to use."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.encoder = timm.create_model(backbone, in_chans=6, num_classes=1)
        width = self.encoder.num_features
        setattr(self.encoder, "fc" if "resnet" in backbone else "classifier", nn.Identity())
        self.lstm = nn.LSTM(width, 256, num_layers=2, bidirectional=True, batch_first=True)
        self.head = norm_head(512, 256)

    def forward(self, slices: Tensor) -> Tensor:
        features = self.encoder(slices.flatten(0, 1)).unflatten(0, slices.shape[:2])
        read, _ = self.lstm(features)
        logits: Tensor = self.head(read.flatten(0, 1)).view(slices.shape[:2])
        return logits


class SevenVertebrae(nn.Module):
    """1st place, seven vertebrae: all slices from C1's first to C7's last in one sequence."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.encoder = timm.create_model(backbone, in_chans=6, num_classes=1)
        width = self.encoder.num_features
        self.encoder.head.fc = nn.Identity()
        self.lstm = nn.LSTM(width, 256, num_layers=2, bidirectional=True, batch_first=True)
        self.head = norm_head(512, 256)
        self.lstm2 = nn.LSTM(width, 256, num_layers=2, bidirectional=True, batch_first=True)
        self.head2 = norm_head(512, 256)

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.encoder(images)
        return found

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(slices.flatten(0, 1)).unflatten(0, slices.shape[:2])
        logits = self.head(self.lstm(features)[0].flatten(0, 1)).view(slices.shape[:2])
        return logits, self.head2(self.lstm2(features)[0][:, 0])[:, 0]


class VggSeven(SevenVertebrae):
    """System 1, seven vertebrae: the last map's 7 x 7 cells, 8 numbers each."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.encoder = timm.create_model("vgg16", in_chans=6, features_only=True)
        self.bottleneck = nn.Conv2d(512, 8, kernel_size=1)
        self.lstm = nn.LSTM(8 * 49, 4, bidirectional=True, batch_first=True)
        self.head = norm_head(8, 8)
        self.lstm2 = nn.LSTM(8 * 49, 4, bidirectional=True, batch_first=True)
        self.head2 = norm_head(8, 8)

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.bottleneck(self.encoder(images)[-1]).flatten(1)
        return found


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj_w = nn.Linear(width, width)
        self.proj_v = nn.Linear(width, 1, bias=False)

    def forward(self, read: Tensor) -> Tensor:
        weights = torch.softmax(self.proj_v(torch.tanh(self.proj_w(read))), dim=1)
        return (read * weights).sum(1)


class AttentionGRU(nn.Module):
    """System 2: CNN, BiGRU, MLP attention."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.model = timm.create_model(backbone, in_chans=3, num_classes=0)
        self.rnn = nn.GRU(
            self.model.num_features, 256, num_layers=2, bidirectional=True, batch_first=True
        )
        self.mlp_attention_layer = Attention(512)
        self.logits = nn.Sequential(
            nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 1)
        )

    def forward(self, slices: Tensor) -> Tensor:
        features = self.model(slices.flatten(0, 1)).unflatten(0, slices.shape[:2])
        logits: Tensor = self.logits(self.mlp_attention_layer(self.rnn(features)[0]))[:, 0]
        return logits


def cell(axes: int, coming: int, going: int, size: int = 3) -> nn.Sequential:
    """Convolution, norm, ReLU of segmentation_models_pytorch, in two or three dimensions."""
    kind, norm = (nn.Conv2d, nn.BatchNorm2d) if axes == 2 else (nn.Conv3d, nn.BatchNorm3d)
    convolution = kind(coming, going, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, norm(going), nn.ReLU())


class UnetBlock(nn.Module):
    def __init__(self, axes: int, coming: int, beside: int, going: int) -> None:
        super().__init__()
        self.conv1 = cell(axes, coming + beside, going)
        self.conv2 = cell(axes, going, going)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        features = functional.interpolate(features, scale_factor=2, mode="nearest")
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        result: Tensor = self.conv2(self.conv1(features))
        return result


class Mfab(nn.Module):
    def __init__(self, coming: int, beside: int, going: int) -> None:
        super().__init__()
        self.hl_conv = nn.Sequential(cell(3, coming, coming), cell(3, coming, beside, 1))
        self.SE_ll = self._gate(beside)
        self.SE_hl = self._gate(beside)
        self.conv1 = cell(3, 2 * beside, going)
        self.conv2 = cell(3, going, going)

    @staticmethod
    def _gate(channels: int) -> nn.Sequential:
        # Their 3D conversion leaves this pooling in two dimensions: it averages the last two axes.
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv3d(channels, channels // 16, 1),
            nn.ReLU(),
            nn.Conv3d(channels // 16, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        features = functional.interpolate(self.hl_conv(features), scale_factor=2, mode="nearest")
        features = features * (self.SE_hl(features) + self.SE_ll(skip))
        result: Tensor = self.conv2(self.conv1(torch.cat([features, skip], dim=1)))
        return result


class Pab(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.top_conv = nn.Conv3d(channels, 64, 1)
        self.center_conv = nn.Conv3d(channels, 64, 1)
        self.bottom_conv = nn.Conv3d(channels, channels, 3, padding=1)
        self.out_conv = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        count, channels = features.shape[:2]
        top = self.top_conv(features).flatten(2)
        centre = self.center_conv(features).flatten(2).transpose(1, 2)
        bottom = self.bottom_conv(features).flatten(2).transpose(1, 2)
        pairs = centre @ top
        pairs = pairs.reshape(count, -1).softmax(dim=1).reshape(pairs.shape)
        attended = (pairs @ bottom).reshape(count, channels, *features.shape[2:])
        result: Tensor = self.out_conv(features + attended)
        return result


class Decoder(nn.Module):
    """Blocks from the coarsest features on; with ``center`` MAnet's."""

    def __init__(self, axes: int, encoder: Sequence[int], widths: Sequence[int], manet: bool):
        super().__init__()
        coming, beside = [encoder[-1], *widths[:-1]], [*encoder[-2::-1], 0]
        if manet:
            self.center = Pab(encoder[-1])
        self.blocks = nn.ModuleList(
            Mfab(*sizes) if manet and sizes[1] else UnetBlock(axes, *sizes)
            for sizes in zip(coming, beside, widths, strict=True)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        current = features[-1]
        if hasattr(self, "center"):
            current = self.center(current)
        for block, skip in zip(self.blocks, [*features[-2::-1], None], strict=True):
            current = block(current, skip)
        return current


class VolumeSegmenter(nn.Module):
    """System 1: 4 of the 5 stages of a timm encoder turned 3D, UNet or MAnet decoder, 7 masks."""

    def __init__(self, backbone: str, manet: bool = False) -> None:
        super().__init__()
        self.encoder = timm.create_model(backbone, in_chans=3, features_only=True)
        widths = self.encoder.feature_info.channels()[:4]
        _make_3d(self.encoder)
        self.decoder = Decoder(3, widths, (256, 128, 64, 32), manet)
        self.segmentation_head = nn.Conv3d(32, 7, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(images)[:4]))
        return logits


class Same3d(nn.Conv3d):
    def forward(self, images: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (2, 1, 0):
            size, stride, kernel = images.shape[2 + axis], self.stride[axis], self.kernel_size[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(images, pads))


def _make_3d(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child).__name__ in ("Conv2d", "Conv2dSame"):
            kind = nn.Conv3d if type(child) is nn.Conv2d else Same3d
            flat: Any = child
            solid = kind(
                flat.in_channels,
                flat.out_channels,
                flat.kernel_size[0],
                stride=flat.stride[0],
                padding=flat.padding[0],
                groups=flat.groups,
                bias=flat.bias is not None,
            )
            setattr(module, name, solid)
        elif type(child).__name__ == "BatchNorm2d":
            setattr(module, name, nn.BatchNorm3d(child.num_features, eps=child.eps))
        elif type(child).__name__ == "BatchNormAct2d":
            setattr(module, name, _norm_act(child))
        elif type(child).__name__ == "MaxPool2d":
            setattr(module, name, nn.MaxPool3d(child.kernel_size, child.stride, child.padding))
        elif type(child).__name__ == "AvgPool2d":
            flat = child
            pool = nn.AvgPool3d(flat.kernel_size, flat.stride, flat.padding, flat.ceil_mode)
            setattr(module, name, pool)
        else:
            _make_3d(child)


def _norm_act(flat: Any) -> nn.Module:
    """timm joins norm and activation; the parameters are those of the norm."""

    class NormAct(nn.BatchNorm3d):
        def forward(self, images: Tensor) -> Tensor:
            result: Tensor = flat.act(super().forward(images))
            return result

    return NormAct(flat.num_features, eps=flat.eps)


# (expansion, kernel, stride, going, repeats) of EfficientNet-B0's stages.
_B0 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class Same2d(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            size, stride, kernel = images.shape[2 + axis], self.stride[axis], self.kernel_size[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(images, pads))


class MbConv(nn.Module):
    """A block as efficientnet_pytorch names its parts."""

    def __init__(self, coming: int, expansion: int, kernel: int, stride: int, going: int) -> None:
        super().__init__()
        inner = coming * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(coming, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, eps=1e-3)
        self._depthwise_conv = Same2d(inner, inner, kernel, stride=stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=1e-3)
        self._se_reduce = nn.Conv2d(inner, coming // 4, 1)
        self._se_expand = nn.Conv2d(coming // 4, inner, 1)
        self._project_conv = nn.Conv2d(inner, going, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(going, eps=1e-3)
        self.beside = stride == 1 and coming == going

    def forward(self, images: Tensor) -> Tensor:
        inner = images
        if hasattr(self, "_expand_conv"):
            inner = functional.silu(self._bn0(self._expand_conv(images)))
        inner = functional.silu(self._bn1(self._depthwise_conv(inner)))
        gate = functional.silu(self._se_reduce(functional.adaptive_avg_pool2d(inner, 1)))
        inner = torch.sigmoid(self._se_expand(gate)) * inner
        result: Tensor = self._bn2(self._project_conv(inner))
        return result + images if self.beside else result


class EfficientNetB0(nn.Module):
    """segmentation_models_pytorch's encoder; its skips leave behind blocks 3, 5 and 9."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = Same2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, coming = [], 32
        for expansion, kernel, stride, going, repeats in _B0:
            for repeat in range(repeats):
                own_stride = stride if repeat == 0 else 1
                blocks.append(MbConv(coming, expansion, kernel, own_stride, going))
                coming = going
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)

    def forward(self, images: Tensor) -> list[Tensor]:
        current = functional.silu(self._bn0(self._conv_stem(images)))
        features = [current]
        for start, end in ((0, 3), (3, 5), (5, 9), (9, 16)):
            for block in self._blocks[start:end]:
                current = block(current)
            features.append(current)
        return features


class SliceUnet(nn.Module):
    """System 2: segmentation_models_pytorch's Unet on ``efficientnet-b0``, 8 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EfficientNetB0()
        self.decoder = Decoder(2, (32, 24, 40, 112, 320), (256, 128, 64, 32, 16), manet=False)
        self.segmentation_head = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(images)))
        return logits


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def unlike_new(network: nn.Module, seed: int = 0) -> nn.Module:
    """Numbers that let every layer be heard at the end, as after training; in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.bias):
                tensor.data.uniform_(-0.2, 0.2, generator=generator)
            for tensor in (module.running_var, module.weight):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
            spread = (2 / module.weight[0].numel()) ** 0.5
            module.weight.data.normal_(0, spread, generator=generator)
    return network.eval()
