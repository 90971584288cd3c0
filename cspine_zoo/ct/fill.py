"""From the ordered frames of a series to the filled canvas."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from cspine_zoo.ct.canvas import Canvas, shifted
from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.decode import decode, padding_mask
from cspine_zoo.ct.frames import Frame
from cspine_zoo.ct.grid import Grid
from cspine_zoo.ct.rescale import AIR_HU, HU
from cspine_zoo.ct.volume import SkippedFile
from cspine_zoo.ct.voxels import Kind, Voxels
from cspine_zoo.ct.workers import divided

MOST_LOST: Final = 0.5
"""Share of slices that may fail to decode before the series is refused."""


@dataclass
class Filled:
    """A canvas and what became of each slice.

    Attributes:
        present: grid indices of slices that were written.
        lost: files whose pixels could not be decoded.
    """

    canvas: Canvas
    present: set[int] = field(default_factory=set)
    lost: list[SkippedFile] = field(default_factory=list)


def fill(frames: list[Frame], grid: Grid, voxels: Voxels) -> Filled:
    """Decode every slice into its place, compressed ones on all processors.

    Args:
        frames: of one series; the list is emptied, so that a slice's encoded bytes can go as soon
            as it is decoded (unless it may have to be decoded again).
        grid: on which they lie.
        voxels: where the result goes.

    Raises:
        Problem: most slices cannot be decoded.
    """
    ordered = [frames[n] for n in grid.order]
    frames.clear()
    # Slices of a tilted gantry are interpolated: their HU are not whole.
    if grid.tilted or not all(frame.rescale.whole for frame in ordered):
        return _filled(ordered, grid, voxels, np.float32)
    if all(frame.rescale.fits_int16 for frame in ordered):
        return _filled(ordered, grid, voxels, np.int16)
    try:
        return _filled(ordered.copy(), grid, voxels, np.int16)
    except OverflowError:
        return _filled(ordered, grid, voxels, np.float32)


def _filled(frames: list[Frame], grid: Grid, voxels: Voxels, kind: Kind) -> Filled:
    """All slices written as one kind of number; ``frames`` in their order, emptied.

    Raises:
        OverflowError: HU are too high for that kind.
        Problem: most slices cannot be decoded.
    """
    filled = Filled(Canvas.allocate(grid.shape, grid.affine, voxels, kind))
    ordered: list[Frame | None] = [*frames]
    frames.clear()
    compressed = any(frame.format.syntax.decoders for frame in ordered if frame)

    def decoded(numbers: Sequence[int]) -> list[tuple[int, str, str, str]]:
        """Frames that failed, with their files, codes and reasons."""
        failed = []
        for n in numbers:
            frame = ordered[n]
            if frame is None:
                continue
            try:
                with filled.canvas.slice(grid.index[n]) as out:
                    _write(frame, out, grid, n)
            except Problem as problem:
                failed.append((n, frame.file, problem.code, problem.reason))
            ordered[n] = None
            _let_go(frame)
        return failed

    shares: list[Any]
    if compressed and voxels.shared:
        first = decoded([0])  # loads the codec, once for all
        shares = [first, *divided(lambda share: decoded([n + 1 for n in share]), len(ordered) - 1)]
    else:
        shares = [decoded(range(len(ordered)))]
    problems = {
        n: SkippedFile(file, code, reason) for share in shares for n, file, code, reason in share
    }
    filled.present = {int(k) for n, k in enumerate(grid.index) if n not in problems}
    filled.lost = [problems[n] for n in sorted(problems)]
    if problems and len(filled.present) < MOST_LOST * len(grid.index):
        last = filled.lost[-1]
        raise Problem(last.code, last.reason)
    return filled


def _write(frame: Frame, out: HU, grid: Grid, n: int) -> None:
    stored = decode(frame)
    hu = np.empty(stored.shape, np.float32) if grid.tilted else out
    frame.rescale.write(hu, stored)
    padding = padding_mask(stored, frame.format)
    if padding is not None:
        hu[padding] = AIR_HU
    if grid.tilted:
        out[...] = shifted(hu, grid.shifts[n], (out.shape[0], out.shape[1]))


def _let_go(frame: Frame) -> None:
    """Give pages of a mapped file back to the system, which can read them again."""
    for part in frame.pixels:
        if isinstance(part, memoryview) and isinstance(part.obj, mmap.mmap):
            part.obj.madvise(mmap.MADV_DONTNEED)
