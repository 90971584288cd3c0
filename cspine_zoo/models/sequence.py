"""Networks that read slices in order."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


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

    def forward(self, features: Tensor, kept: Tensor | None = None) -> Tensor:
        """Map (N, S, F) to (N, S, 2 x hidden).

        Args:
            features: of the slices.
            kept: bool (N, S), at least one a row; the sequence runs over these slices as if there
                were no others, whose output is 0. Without it all are kept.
        """
        if kept is None:
            return cast(Tensor, self.recurrent(features)[0])
        order = (~kept).byte().argsort(dim=1, stable=True)[..., None]  # kept slices first
        packed = pack_padded_sequence(
            features.gather(1, order.expand_as(features)),
            kept.sum(dim=1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        read, _ = pad_packed_sequence(
            self.recurrent(packed)[0], batch_first=True, total_length=features.shape[1]
        )
        return read.new_zeros(read.shape).scatter(1, order.expand_as(read), read)


class SpatialDropout(nn.Module):
    """Dropout of whole features: one that is left out is left out of every slice.

    References:
        Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout1d(probability)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, S, F) of the same shape."""
        return cast(Tensor, self.dropout(features.transpose(1, 2)).transpose(1, 2))
