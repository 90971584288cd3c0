"""One vertebra from its slices: encoder, sequence, pooling and head."""

from __future__ import annotations

from typing import Final, cast

from torch import Tensor, nn

from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.float32 import in_float32
from cspine_zoo.models.heads import head_of
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.pooling import pooling_of
from cspine_zoo.models.sequence import RecurrentSequence, SpatialDropout

_POOLED: Final = ("logits", "features")


class SliceClassifier(nn.Module):
    """2.5D CNN over a vertebra's slices, with or without a sequence model and attention.

    Where logits are pooled, the vertebra's logit is exactly the weighted mean of its slices'
    logits: the weights and slice probabilities that are shown as explanation are the computation
    itself. Where features are pooled, the weights are; a slice's logit is then what the head says
    of this slice alone.

    Args:
        backbone: timm architecture of the slice encoder.
        in_channels: channels of a slice image.
        features: length of the encoder's projection; None for none.
        sequence: None, ``"gru"`` or ``"lstm"`` (both bidirectional).
        hidden: units in each direction of the sequence model.
        pooling: ``"mean"``, ``"top-k"`` or ``"attention"``.
        top_k: slices that ``"top-k"`` averages.
        dropout: probability before the head.
        encoder_pool: of the slice encoder, over the pixels.
        layers: of the sequence model.
        feature_dropout: probability of leaving a feature out of all slices.
        head: of each slice, see ``head_of``.
        pooled: ``"logits"`` of the slices or their ``"features"``.
    """

    def __init__(  # noqa: PLR0913  each is an argument that manifest rows name
        self,
        *,
        backbone: str,
        in_channels: int,
        features: int | None,
        sequence: str | None,
        hidden: int,
        pooling: str,
        top_k: int = 5,
        dropout: float = 0.2,
        encoder_pool: str = "avg",
        layers: int = 1,
        feature_dropout: float = 0.0,
        head: str = "linear",
        pooled: str = "logits",
    ) -> None:
        super().__init__()
        if pooled not in _POOLED:
            raise ValueError(f"pooled are {' or '.join(_POOLED)}, not {pooled!r}")
        self.pooled = pooled
        self.encoder = SliceEncoder(backbone, in_channels, features, encoder_pool)
        self.feature_dropout = SpatialDropout(feature_dropout) if feature_dropout else nn.Identity()
        self.sequence: nn.Module = nn.Identity()
        width = self.encoder.out_features
        if sequence is not None:
            recurrent = RecurrentSequence(sequence, width, hidden, layers)
            self.sequence, width = recurrent, recurrent.out_features
        self.pooling = pooling_of(pooling, width, top_k)
        self.dropout = nn.Dropout(dropout)
        self.head = head_of(head, width)

    def forward(self, slices: Tensor) -> ClassifierOutput:
        """Score vertebrae (N, S, C, H, W)."""
        return self.score(self.encoder(slices))

    @in_float32
    def score(self, features: Tensor) -> ClassifierOutput:
        """Score vertebrae from their encoder features (N, S, F)."""
        return self.judge(self.sequence(self.feature_dropout(features)))

    def judge(self, read: Tensor) -> ClassifierOutput:
        """Score vertebrae from what the sequence model made of their slices (N, S, F)."""
        hidden = self.dropout(read)
        slice_logits = cast(Tensor, self.head(hidden)).squeeze(-1)
        weights = self.pooling(hidden, slice_logits)
        if self.pooled == "logits":
            logit = (weights * slice_logits).sum(dim=1)
        else:
            logit = self.head((weights[..., None] * hidden).sum(dim=1)).squeeze(-1)
        return ClassifierOutput(logit, slice_logits, weights)
