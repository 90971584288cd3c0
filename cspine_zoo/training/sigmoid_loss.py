"""The loss of classes that do not exclude each other."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def sigmoid_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Mean of binary cross entropy and soft Dice, as both published systems train their masks.

    Dice is taken of the classes that are there: of one that is not, any answer but nothing would
    cost the same.

    Args:
        logits: (N, classes, ...).
        truth: 0 to 1, of the same shape.
        known: bool (N, 1, ...), false where nobody has looked.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = known.expand_as(entropy)
    mean_entropy = (entropy * weight).sum() / weight.sum().clamp(min=1)
    others = tuple(axis for axis in range(logits.ndim) if axis != 1)
    shares, truth = logits.sigmoid() * weight, truth * weight
    overlap, size = (shares * truth).sum(others), truth.sum(others)
    there = (size > 0).to(logits.dtype)
    lost = 1 - (2 * overlap + 1) / (shares.sum(others) + size + 1)
    return 0.5 * (mean_entropy + (lost * there).sum() / there.sum().clamp(min=1))
