"""One vertebra from its slices: encoder, sequence, pooling and one linear head."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.pooling import AttentionPooling, MeanPooling, TopKPooling
from cspine_zoo.models.sequence import RecurrentSequence


class SliceClassifier(nn.Module):
    """2.5D CNN over a vertebra's slices, with or without a sequence model and attention.

    The head is linear and shared by all slices, so that the vertebra's logit is exactly the
    weighted mean of its slices' logits: the weights and slice probabilities that are shown as
    explanation are the computation itself.

    Args:
        backbone: timm architecture of the slice encoder.
        in_channels: channels of a slice image.
        features: length of the encoder's projection.
        sequence: None, ``"gru"`` or ``"lstm"`` (both bidirectional).
        hidden: units in each direction of the sequence model.
        pooling: ``"mean"``, ``"top-k"`` or ``"attention"``.
        top_k: slices that ``"top-k"`` averages.
        dropout: probability before the head.
        encoder_pool: of the slice encoder, over the pixels.
    """

    def __init__(  # noqa: PLR0913  each is an argument that manifest rows name
        self,
        *,
        backbone: str,
        in_channels: int,
        features: int,
        sequence: str | None,
        hidden: int,
        pooling: str,
        top_k: int = 5,
        dropout: float = 0.2,
        encoder_pool: str = "avg",
    ) -> None:
        super().__init__()
        self.encoder = SliceEncoder(backbone, in_channels, features, encoder_pool)
        self.sequence: nn.Module = nn.Identity()
        if sequence is not None:
            recurrent = RecurrentSequence(sequence, features, hidden)
            self.sequence, features = recurrent, recurrent.out_features
        self.pooling = _pooling(pooling, features, top_k)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, 1)

    def forward(self, slices: Tensor) -> ClassifierOutput:
        """Score vertebrae (N, S, C, H, W)."""
        return self.score(self.encoder(slices))

    def score(self, features: Tensor) -> ClassifierOutput:
        """Score vertebrae from their encoder features (N, S, F)."""
        hidden = self.dropout(self.sequence(features))
        slice_logits = cast(Tensor, self.head(hidden)).squeeze(-1)
        weights = self.pooling(hidden, slice_logits)
        return ClassifierOutput((weights * slice_logits).sum(dim=1), slice_logits, weights)


def _pooling(name: str, features: int, top_k: int) -> nn.Module:
    if name == "attention":
        return AttentionPooling(features)
    if name == "top-k":
        return TopKPooling(top_k)
    if name == "mean":
        return MeanPooling()
    raise ValueError(f"pooling is mean, top-k or attention, not {name!r}")
