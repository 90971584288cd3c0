"""A segmentation network over a volume of any size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cspine_zoo.inference.precision import running, to_input
from cspine_zoo.models.segmenter import Segmenter
from cspine_zoo.preprocess.window import FLOOR

OVERLAP: Final = 32
"""Voxels that neighbouring blocks share and blend over."""


def volume_logits(
    network: Segmenter,
    windowed: NDArray[np.float32],
    device: torch.device,
    precision: str,
    progress: Callable[[float], None],
) -> Tensor:
    """Logits (classes, I, J, K), float32 on the CPU, of a windowed volume.

    Args:
        network: on ``device``, in eval mode; a volume beyond its ``largest_block`` goes in
            overlapping blocks.
        windowed: float32 (I, J, K) in -1 to 1.
        device: where to run.
        precision: ``"float32"`` or ``"bfloat16"``.
        progress: told the share that is done.
    """
    shape = windowed.shape
    padded = [-(-n // d) * d for n, d in zip(shape, network.divisors, strict=True)]
    volume = np.pad(
        windowed,
        [(0, whole - size) for whole, size in zip(padded, shape, strict=True)],
        constant_values=FLOOR,
    )
    block = block_shape(padded, network.largest_block, network.divisors)
    starts = [block_starts(*sizes) for sizes in zip(padded, block, network.divisors, strict=True)]
    places = list(itertools.product(*starts))
    logits: Tensor | None = None
    for done, place in enumerate(places):
        where = tuple(slice(s, s + size) for s, size in zip(place, block, strict=True))
        part = _run(network, volume[where], device, precision)
        if len(places) == 1:
            logits = part
        else:
            if logits is None:
                logits = torch.zeros((part.shape[0], *padded))
            logits[(slice(None), *where)] += part * _blend(place, block, padded, starts)
        progress((done + 1) / len(places))
    if logits is None:
        raise ValueError("a volume has at least one voxel")
    return logits[:, : shape[0], : shape[1], : shape[2]]


def block_shape(
    shape: Sequence[int], largest_block: int, divisors: Sequence[int]
) -> tuple[int, ...]:
    """Cut the longest axis until a block is small enough; sizes stay multiples of ``divisors``."""
    parts = [1] * len(shape)
    block = list(shape)
    while int(np.prod(block)) > largest_block and max(block) > 2 * OVERLAP:
        axis = int(np.argmax(block))
        parts[axis] += 1
        size = (shape[axis] + (parts[axis] - 1) * OVERLAP) / parts[axis]
        smaller = int(-(-size // divisors[axis])) * divisors[axis]
        if smaller <= OVERLAP:
            break
        block[axis] = smaller
    return tuple(block)


def block_starts(whole: int, block: int, divisor: int) -> list[int]:
    """Where blocks begin along an axis: neighbours share at least ``OVERLAP``, none reaches out."""
    if block >= whole:
        return [0]
    count = -(-(whole - OVERLAP) // (block - OVERLAP))
    last = (whole - block) // divisor
    return [round(index * last / (count - 1)) * divisor for index in range(count)]


def _run(
    network: Segmenter, block: NDArray[np.float32], device: torch.device, precision: str
) -> Tensor:
    with running(device, precision):
        images = to_input(torch.from_numpy(np.ascontiguousarray(block))[None, None], device)
        return network(images)[0].float().cpu()


def _blend(
    place: Sequence[int], block: Sequence[int], whole: Sequence[int], starts: Sequence[list[int]]
) -> Tensor:
    """Weights of a block that sum to one with those of its neighbours."""
    weights = torch.ones(1)
    for begin, size, length, others in zip(place, block, whole, starts, strict=True):
        ramps = torch.stack([_ramp(other, size, length) for other in others])
        own = _ramp(begin, size, length) / ramps.sum(dim=0).clamp_min(1e-6)
        weights = weights[..., None] * own[begin : begin + size]
    return weights[0]


def _ramp(begin: int, size: int, length: int) -> Tensor:
    """Rises over the overlap at a block's inner edges, 1 within, 0 outside; (length,)."""
    index = torch.arange(length, dtype=torch.float32) - begin
    rise = torch.ones(length) if begin == 0 else (index + 0.5) / OVERLAP
    fall = torch.ones(length) if begin + size >= length else (size - index - 0.5) / OVERLAP
    inside = (index >= 0) & (index < size)
    return torch.minimum(rise, fall).clamp(0, 1) * inside
