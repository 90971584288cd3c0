"""Mixup of a batch, and shuffling of a vertebra's slices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor


def mixed(columns: tuple[Tensor, ...], alpha: float, generator: Generator) -> tuple[Tensor, ...]:
    """Each sample blended with another of its batch, truth and all, by one share for the batch.

    Args:
        columns: tensors (B, ...), blended alike.
        alpha: of the share's distribution, Beta(alpha, alpha).
        generator: of the random numbers.

    References:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    """
    count = len(columns[0])
    seed = int(torch.randint(2**31, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    others = torch.randperm(count, generator=generator)
    return blended(columns, others, share)


def blended(columns: tuple[Tensor, ...], others: Tensor, share: float) -> tuple[Tensor, ...]:
    """``share`` of each sample and the rest of its partner."""
    return tuple(share * column + (1 - share) * column[others] for column in columns)


def shuffled(columns: tuple[Tensor, ...], share: float, generator: Generator) -> tuple[Tensor, ...]:
    """The slices of a share of the vertebrae in random order.

    A sequence model that has seen this cannot lean on where along a vertebra a slice lies.

    Args:
        columns: tensors (B, S, ...), shuffled alike.
        share: of the vertebrae.
        generator: of the random numbers.
    """
    count, slices = columns[0].shape[:2]
    order = torch.rand(count, slices, generator=generator).argsort(dim=1)
    kept = torch.rand(count, 1, generator=generator) >= share
    order = torch.where(kept, torch.arange(slices), order)
    rows = torch.arange(count)[:, None]
    return tuple(column[rows, order] for column in columns)
