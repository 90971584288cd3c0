"""How the source systems name their parameters, and what the same are called here.

One table a family, in the order of their modules; where a family has been written in several
ways, each way has its line. The names are those of published notebooks and of the libraries that
they build on; see docs/convert.md for what that rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from cspine_zoo.conversion.names import Table
from cspine_zoo.zoo.manifest import Architecture

SLICE_CLASSIFIER: Final[Table] = (
    # System 1 and the 1st place of RSNA 2022: a timm encoder, an LSTM, a head.
    ("encoder.**", "encoder.backbone.**"),
    ("lstm.**", "sequence.recurrent.**"),
    # System 2: a timm model, a GRU, MLP attention, a head.
    ("model.**", "encoder.backbone.**"),
    ("rnn.**", "sequence.recurrent.**"),
    ("mlp_attention_layer.proj_w.*", "pooling.transform.*"),
    ("mlp_attention_layer.proj_v.*", "pooling.score.*"),
    ("logits.**", "head.**"),
)

SPINE_CLASSIFIER: Final[Table] = (
    # timm's feature lists name VGG's layers features_0, features_2, ...
    *((f"encoder.features_{n}.*", f"encoder.backbone.features.{n}.*") for n in range(29)),
    ("bottleneck.*", "encoder.project.0.*"),
    ("lstm2.**", "patient_sequence.recurrent.**"),
    ("head2.**", "patient_head.**"),
    *SLICE_CLASSIFIER,
)

SEGMENTER: Final[Table] = (
    ("encoder.**", "network.encoder.backbone.**"),
    ("decoder.**", "network.decoder.**"),
    # segmentation_models_pytorch wraps the last convolution; the 1st place does not.
    ("segmentation_head.0.*", "network.head.*"),
    ("segmentation_head.*", "network.head.*"),
)

_B0_STAGES: Final = (1, 2, 2, 3, 1, 2, 4, 1)
"""Blocks in each stage of EfficientNet-B0, the fifth in two as ``ImageEncoder`` reads it."""

_EXPANDED: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN: Final = _EXPANDED | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Of the first block, which expands nothing."""


def efficientnet_b0() -> Table:
    """segmentation_models_pytorch's ``efficientnet-b0``, which numbers blocks from 0 to 15."""
    ends = list(accumulate(_B0_STAGES))
    table: list[tuple[str, str | None]] = []
    for block in range(ends[-1]):
        stage = sum(end <= block for end in ends)
        own = f"network.encoder.backbone.blocks.{stage}.{block - ([0, *ends])[stage]}"
        parts = _EXPANDED if block else _PLAIN
        table += [(f"encoder._blocks.{block}.{a}.*", f"{own}.{b}.*") for a, b in parts.items()]
    return (
        ("encoder._conv_stem.*", "network.encoder.backbone.conv_stem.*"),
        ("encoder._bn0.*", "network.encoder.backbone.bn1.*"),
        *table,
        ("encoder._conv_head.*", "network.encoder.backbone.conv_head.*"),
        ("encoder._bn1.*", "network.encoder.backbone.bn2.*"),
    )


_LAYOUTS: Final[Mapping[str, Table]] = {
    "slice-segmenter": (*efficientnet_b0(), *SEGMENTER),
    "volume-segmenter": SEGMENTER,
    "slice-classifier": SLICE_CLASSIFIER,
    "spine-classifier": SPINE_CLASSIFIER,
}


def layout_of(architecture: Architecture) -> Table:
    """The table of an architecture; empty where no original has other names than ours."""
    return _LAYOUTS.get(architecture.name, ())
