"""A segmentation network over a volume of any size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cspine_zoo.anatomy import DISC, THORACIC
from cspine_zoo.inference.precision import running, to_input
from cspine_zoo.preprocess.window import FLOOR

DIVISOR: Final = 16
"""Networks halve the grid up to four times."""

LARGEST_BLOCK: Final = 2_000_000
"""Voxels that go through the network at once: about 1 GB of features at 16 channels in float32.
Naming the levels wants the whole neck in view, so a block is as large as memory allows."""

OVERLAP: Final = 32
"""Voxels that neighbouring blocks share and blend over."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """What the network says about every voxel.

    Attributes:
        labels: uint8, 0 background, 1-8 the most probable vertebra where bone is more probable
            than not, 9 disc.
        bone: float32, probability of any vertebra.
    """

    labels: NDArray[np.uint8]
    bone: NDArray[np.float32]


def segment_volume(
    network: nn.Module,
    windowed: NDArray[np.float32],
    device: torch.device,
    precision: str,
    progress: Callable[[float], None],
    largest_block: int = LARGEST_BLOCK,
) -> Voxels:
    """Run a network (N, 1, I, J, K) -> (N, 10, I, J, K) over a windowed volume.

    Args:
        network: on ``device``, in eval mode.
        windowed: float32 (I, J, K) in -1 to 1.
        device: where to run.
        precision: ``"float32"`` or ``"bfloat16"``.
        progress: told the share that is done.
        largest_block: voxels at once; a larger volume goes in overlapping blocks.
    """
    shape = windowed.shape
    padded = [-(-size // DIVISOR) * DIVISOR for size in shape]
    volume = np.pad(
        windowed,
        [(0, whole - size) for whole, size in zip(padded, shape, strict=True)],
        constant_values=FLOOR,
    )
    block = block_shape(padded, largest_block)
    starts = [block_starts(whole, size) for whole, size in zip(padded, block, strict=True)]
    places = list(itertools.product(*starts))
    logits: Tensor | None = None
    for done, start in enumerate(places):
        where = tuple(slice(s, s + size) for s, size in zip(start, block, strict=True))
        part = _run(network, volume[where], device, precision)
        if len(places) == 1:
            logits = part
        else:
            if logits is None:
                logits = torch.zeros((part.shape[0], *padded))
            logits[(slice(None), *where)] += part * _blend(start, block, padded)
        progress((done + 1) / len(places))
    if logits is None:
        raise ValueError("a volume has at least one voxel")
    return _decide(logits[:, : shape[0], : shape[1], : shape[2]])


def block_shape(shape: Sequence[int], largest_block: int) -> tuple[int, ...]:
    """Cut the longest axis until a block is small enough; sizes stay multiples of ``DIVISOR``."""
    parts = [1] * len(shape)
    block = list(shape)
    while int(np.prod(block)) > largest_block and max(block) > 2 * OVERLAP:
        axis = int(np.argmax(block))
        parts[axis] += 1
        size = (shape[axis] + (parts[axis] - 1) * OVERLAP) / parts[axis]
        smaller = int(-(-size // DIVISOR)) * DIVISOR
        if smaller <= OVERLAP:
            break
        block[axis] = smaller
    return tuple(block)


def block_starts(whole: int, block: int) -> list[int]:
    """Where blocks begin along an axis: neighbours share at least ``OVERLAP``, none reaches out."""
    if block >= whole:
        return [0]
    count = -(-(whole - OVERLAP) // (block - OVERLAP))
    last = (whole - block) // DIVISOR
    return [round(index * last / (count - 1)) * DIVISOR for index in range(count)]


def _run(
    network: nn.Module, block: NDArray[np.float32], device: torch.device, precision: str
) -> Tensor:
    with running(device, precision):
        images = to_input(torch.from_numpy(np.ascontiguousarray(block))[None, None], device)
        output: Tensor = network(images)
        return output[0].float().cpu()


def _blend(start: Sequence[int], block: Sequence[int], whole: Sequence[int]) -> Tensor:
    """Weights of a block that sum to one with those of its neighbours."""
    weights = torch.ones(1)
    for begin, size, length in zip(start, block, whole, strict=True):
        ramps = torch.stack([_ramp(other, size, length) for other in block_starts(length, size)])
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


def _decide(logits: Tensor) -> Voxels:
    """Labels and bone probability from logits (10, I, J, K)."""
    vertebra = torch.logsumexp(logits[1 : THORACIC + 1], dim=0)
    everything = torch.logsumexp(logits, dim=0)
    bone = torch.exp(vertebra - everything)
    disc = logits[DISC] > torch.logaddexp(vertebra, logits[0])
    labels = (logits[1 : THORACIC + 1].argmax(dim=0) + 1).to(torch.uint8)
    labels[bone < 0.5] = 0
    labels[disc] = DISC
    return Voxels(labels.numpy(), bone.numpy())
