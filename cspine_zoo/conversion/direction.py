"""Networks that read a vertebra from above, turned round to read it from below."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from cspine_zoo.models.pooling import AttentionPooling
from cspine_zoo.models.sequence import RecurrentSequence
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.preprocess.spec import Preprocess

_OPPOSITE: Final = {"previous": "next", "next": "previous", "-2": "+2", "+2": "-2"}


def from_above(preprocess: Preprocess) -> Preprocess:
    """The same preprocessing with each slice's upper neighbours as the first channels."""
    channels = tuple(_OPPOSITE.get(name, name) for name in preprocess.channels)
    return replace(preprocess, channels=channels)


def turn_round(network: nn.Module) -> None:
    """Make a classifier give for slices from below what it gave for the same ones from above.

    A bidirectional network read backwards is the same network with its two directions exchanged:
    their weights, and the halves of whatever takes their outputs. Nothing is approximated. A
    ``SpineClassifier`` reads downwards of itself, and others stay as they are too.

    Args:
        network: changed in place.
    """
    if not isinstance(network, SliceClassifier) or isinstance(network, SpineClassifier):
        return
    if not isinstance(network.sequence, RecurrentSequence):
        return
    recurrent = network.sequence.recurrent
    half = recurrent.hidden_size
    with torch.no_grad():
        for layer in range(recurrent.num_layers):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                _exchange(
                    recurrent.get_parameter(f"{kind}_l{layer}"),
                    recurrent.get_parameter(f"{kind}_l{layer}_reverse"),
                )
            if layer > 0:
                for direction in ("", "_reverse"):
                    _roll(recurrent.get_parameter(f"weight_ih_l{layer}{direction}"), half)
        takers = [next(one for one in network.head.modules() if isinstance(one, nn.Linear))]
        if isinstance(network.pooling, AttentionPooling):
            takers.append(network.pooling.transform)
        for taker in takers:
            _roll(taker.weight, half)


def _exchange(one: Tensor, other: Tensor) -> None:
    kept = one.clone()
    one.copy_(other)
    other.copy_(kept)


def _roll(weight: Tensor, half: int) -> None:
    weight.copy_(weight.roll(half, dims=1))
