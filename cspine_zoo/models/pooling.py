"""How slices become one vertebra: each pooling gives a weight to every slice."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class MeanPooling(nn.Module):
    """Every slice counts the same."""

    def forward(self, features: Tensor, slice_logits: Tensor) -> Tensor:
        """Weights (N, S) that sum to 1, from features (N, S, F) and logits (N, S)."""
        return torch.full_like(slice_logits, 1.0 / slice_logits.shape[1])


class TopKPooling(nn.Module):
    """The ``k`` most suspicious slices count the same, the others not at all.

    A fracture is seen on a few slices; the mean over all of them drowns it (the finding of
    several winners of RSNA 2022).
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, features: Tensor, slice_logits: Tensor) -> Tensor:
        """Weights (N, S) that sum to 1, from features (N, S, F) and logits (N, S)."""
        k = min(self.k, slice_logits.shape[1])
        chosen = slice_logits.topk(k, dim=1).indices
        return torch.zeros_like(slice_logits).scatter(1, chosen, 1.0 / k)


class AttentionPooling(nn.Module):
    """Additive attention: tanh(W h) v, softmax over the slices.

    References:
        Bahdanau et al., ICLR 2015; Ilse et al., "Attention-based deep multiple instance
        learning", ICML 2018 (ungated form).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.transform = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)

    def forward(self, features: Tensor, slice_logits: Tensor) -> Tensor:
        """Weights (N, S) that sum to 1, from features (N, S, F) and logits (N, S)."""
        scores = self.score(torch.tanh(self.transform(features))).squeeze(-1)
        return cast(Tensor, scores).softmax(dim=1)


def pooling_of(kind: str, features: int, top_k: int) -> nn.Module:
    """A pooling by the name that manifest rows use.

    Raises:
        ValueError: there is no such pooling.
    """
    if kind == "attention":
        return AttentionPooling(features)
    if kind == "top-k":
        return TopKPooling(top_k)
    if kind == "mean":
        return MeanPooling()
    raise ValueError(f"pooling is mean, top-k or attention, not {kind!r}")
