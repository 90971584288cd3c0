"""What inference asks of every network that segments volumes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Segmenter(Protocol):
    """Windowed volume (N, 1, I, J, K) in RAS order to logits (N, classes, I, J, K).

    Which classes these are, the row's labels say: with a background among them the classes
    exclude each other (softmax), without one each stands for itself (sigmoid).
    """

    @property
    def divisors(self) -> tuple[int, int, int]:
        """Sizes along I, J and K must be multiples of these."""

    @property
    def largest_block(self) -> int:
        """Voxels that may go through at once, by what they take in memory."""

    def __call__(self, volume: Tensor) -> Tensor:
        """Logits of every voxel."""
