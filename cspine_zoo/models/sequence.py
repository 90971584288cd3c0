"""Networks that read a vertebra's slices in order."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class RecurrentSequence(nn.Module):
    """A bidirectional GRU or LSTM over the slices.

    Args:
        cell: ``"gru"`` or ``"lstm"``.
        features: length of a slice's feature vector.
        hidden: units in each direction.
        layers: stacked layers.
    """

    def __init__(self, cell: str, features: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        cells: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
        self.recurrent = cells[cell](
            features, hidden, num_layers=layers, batch_first=True, bidirectional=True
        )
        self.out_features = 2 * hidden

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, S, F) to (N, S, 2 x hidden)."""
        return cast(Tensor, self.recurrent(features)[0])
