"""How the fracture classifiers are trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.training.recipes import (
    FIRST_SOURCE,
    SECOND_SOURCE,
    ClassWeights,
    EndToEndPreset,
    SharedEncoderPreset,
)
from cspine_zoo.training.segmenter_presets import SEGMENTER

_WINDOW: Final = Window(level=500.0, width=1800.0)

_LIGHT_CROP: Final = Preprocess(
    orientation="RAS",
    spacing_mm=None,
    window=_WINDOW,
    crop_mm=(96.0, 96.0),
    size_px=128,
    n_slices=15,
    neighbour_mm=1.5,
    channels=("previous", "slice", "next", "mask"),
)


def _light(name: str, sequence: str | None, pooling: str) -> SharedEncoderPreset:
    return SharedEncoderPreset(
        name=name,
        segmenter=SEGMENTER.name,
        architecture="slice-classifier",
        arguments={
            "backbone": "tf_efficientnet_lite0",
            "in_channels": len(_LIGHT_CROP.channels),
            "features": 256,
            "sequence": sequence,
            "hidden": 128,
            "pooling": pooling,
            "top_k": 5,
            "encoder_pool": "avgmax",
        },
        preprocess=_LIGHT_CROP,
        shards=64,
        encoder_passes=11,
    )


_SEVEN: Final = _light("cls-seven-bilstm-lite0", "lstm", "top-k")

LIGHT: Final = (
    _light("cls-cnn-lite0", None, "top-k"),
    _light("cls-bigru-lite0", "gru", "top-k"),
    _light("cls-bigru-attention-lite0", "gru", "attention"),
    replace(
        _SEVEN, architecture="spine-classifier", arguments=_SEVEN.arguments | {"patient": "any"}
    ),
)
"""Our own: one small encoder, four ways to read its features."""

_WINNER: Final = "the 1st place of RSNA 2022"

_SIX_CHANNELS: Final = Preprocess(
    orientation="RAS",
    spacing_mm=None,
    window=_WINDOW,
    crop_mm=None,
    size_px=224,
    n_slices=15,
    neighbour_mm=1.0,
    channels=("-2", "previous", "slice", "next", "+2", "mask"),
    # Theirs is one voxel of the masks; this is one of our segmenter's.
    margin_mm=2.5,
)

_THREE_CHANNELS: Final = replace(
    _LIGHT_CROP,
    # They crop by the box of the study's whole neck, about 9 cm: one scale for all vertebrae.
    size_px=400,
    n_slices=24,
    neighbour_mm=1.0,
    channels=("previous", "slice", "next"),
)


def _bilstm(
    name: str, backbone: str, source: str, changes: dict[str, Any], architecture: str
) -> EndToEndPreset:
    """After system 1 and the winner: BCE of every slice, positives twice, mixup, random order."""
    arguments = {
        "backbone": backbone,
        "in_channels": len(_SIX_CHANNELS.channels),
        "features": None,
        "sequence": "lstm",
        "hidden": 256,
        "layers": 2,
        "pooling": "mean",
        "head": "norm-mlp",
        "dropout": 0.0,
    }
    return EndToEndPreset(
        name=name,
        segmenter=SEGMENTER.name,
        architecture=architecture,
        arguments=arguments | changes,
        preprocess=_SIX_CHANNELS,
        batch=8,
        accumulate=4,
        passes=20,
        learning_rate=2.3e-4,
        least_rate=2.3e-5,
        judged="slices",
        weights=ClassWeights(fractured=2.0),
        mixup_alpha=1.0,
        mixed_share=0.5,
        shuffled_share=0.2,
        source=source,
    )


def _attention(name: str, backbone: str) -> EndToEndPreset:
    """After system 2: BCE of the vertebra, slow and long."""
    return EndToEndPreset(
        name=name,
        segmenter=SEGMENTER.name,
        architecture="slice-classifier",
        arguments={
            "backbone": backbone,
            "in_channels": len(_THREE_CHANNELS.channels),
            "features": None,
            "feature_dropout": 0.1,
            "sequence": "gru",
            "hidden": 256,
            "layers": 2,
            "pooling": "attention",
            "pooled": "features",
            "head": "mlp",
            "dropout": 0.0,
        },
        preprocess=_THREE_CHANNELS,
        batch=8,
        accumulate=4,
        passes=20,
        learning_rate=5e-5,
        least_rate=1e-7,
        source=SECOND_SOURCE,
    )


SOURCES: Final = (
    _bilstm("cls-bilstm-resnet18", "resnet18", FIRST_SOURCE, {}, "slice-classifier"),
    _bilstm(
        "cls-bilstm-effv2s",
        "tf_efficientnetv2_s",
        _WINNER,
        # What winners found: the mean of the highest five of fifteen slices.
        {"pooling": "top-k", "top_k": 5},
        "slice-classifier",
    ),
    replace(
        _bilstm(
            "cls-seven-bilstm-vgg16",
            "vgg16",
            FIRST_SOURCE,
            {
                "features": 8,
                "encoder_pool": "cells",
                "hidden": 4,
                "layers": 1,
                "head": "norm-mlp",
                "patient": "head",
            },
            "spine-classifier",
        ),
        # Without normalisation and from random weights it learns nothing at the rate of the others.
        learning_rate=7e-5,
        least_rate=7e-6,
    ),
    _bilstm(
        "cls-seven-bilstm-convnext-nano",
        "convnext_nano",
        _WINNER,
        {"pooling": "top-k", "top_k": 5, "patient": "blend"},
        "spine-classifier",
    ),
    _attention("cls-bigru-attention-effv2s", "tf_efficientnetv2_s"),
    _attention("cls-bigru-attention-resnest50d", "resnest50d"),
)
"""The two systems that this zoo implements, and the winner that the first of them follows."""

CLASSIFIERS: Final = (*LIGHT, *SOURCES)
