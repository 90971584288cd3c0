"""From features to one logit."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Perceptron(nn.Sequential):
    """Layers over the last axis, whatever stands before it."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (..., F) to (..., 1)."""
        leading = features.shape[:-1]
        rows = features.flatten(0, -2)
        for layer in self:
            rows = layer(rows)
        return cast(Tensor, rows.unflatten(0, leading))


def head_of(kind: str, features: int) -> nn.Module:
    """A head from features (..., F) to logits (..., 1).

    Args:
        kind: ``"linear"``; ``"norm-mlp"``, 256 units, or F if that is less, with batch norm,
            dropout .3 and LeakyReLU .1 (1st place of RSNA 2022, and system 1 after it); ``"mlp"``,
            128 units with ReLU and dropout .1 (after its 2nd place).
        features: length F.

    Raises:
        ValueError: there is no such head.
    """
    if kind == "linear":
        return nn.Linear(features, 1)
    if kind == "norm-mlp":
        units = min(256, features)
        return Perceptron(
            nn.Linear(features, units),
            nn.BatchNorm1d(units),
            nn.Dropout(0.3),
            nn.LeakyReLU(0.1),
            nn.Linear(units, 1),
        )
    if kind == "mlp":
        return Perceptron(nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 1))
    raise ValueError(f"head is linear, norm-mlp or mlp, not {kind!r}")


def last_bias(head: nn.Module) -> nn.Parameter:
    """The bias that a head adds to its logit."""
    linear = [layer for layer in head.modules() if isinstance(layer, nn.Linear)][-1]
    return linear.bias
