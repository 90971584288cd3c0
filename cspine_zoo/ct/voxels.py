"""Where a volume's voxels go: into this process's memory, or into a file that others share."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np

from cspine_zoo.ct.rescale import HU

Shape = tuple[int, int, int]
"""Planes, rows, columns."""

Kind = type[np.int16 | np.float32]
"""Of number that HU are held as."""


class Voxels(Protocol):
    """Planes of HU that are written one at a time.

    Attributes:
        shared: whether a forked process writes into the same planes.
    """

    shared: bool

    def allocate(self, shape: Shape, kind: Kind) -> HU:
        """All planes, C-contiguous; they hold nothing yet."""
        ...

    def plane(self, number: int) -> AbstractContextManager[HU]:
        """One plane to be written in full; it is stored unless an error leaves the block."""
        ...


@contextmanager
def _out_of_memory() -> Iterator[None]:
    """What the system refuses to a file of voxels is memory, or disk in its place."""
    try:
        yield
    except OSError:
        raise MemoryError from None


class OwnMemory:
    """Voxels of this process alone."""

    shared = False

    def __init__(self) -> None:
        self._planes: HU = np.empty((0, 0, 0), np.float32)

    def allocate(self, shape: Shape, kind: Kind) -> HU:
        """All planes, C-contiguous."""
        self._planes = np.empty(shape, kind)
        return self._planes

    @contextmanager
    def plane(self, number: int) -> Iterator[HU]:
        """One plane, in place."""
        yield self._planes[number]


class SharedFile:
    """Voxels in a file that other processes map.

    Planes are made in one small buffer and written by a call: to touch fresh pages of shared
    memory one by one takes the kernel three times as long (1.3 ms a MB, against 0.4).

    Args:
        descriptor: of an empty file, best one that lives in memory.
    """

    shared = True

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._planes: HU = np.empty((0, 0, 0), np.float32)
        self._buffer: HU = np.empty((0, 0), np.float32)

    def allocate(self, shape: Shape, kind: Kind) -> HU:
        """All planes, as a mapping of the file."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        with _out_of_memory():
            os.ftruncate(self._descriptor, size)
            memory = mmap.mmap(self._descriptor, size)
        self._planes = np.ndarray(shape, kind, memory)
        self._buffer = np.empty(shape[1:], kind)
        return self._planes

    @contextmanager
    def plane(self, number: int) -> Iterator[HU]:
        """One plane, written to the file when the block ends; one block at a time."""
        yield self._buffer
        data, start = self._buffer.reshape(-1).view(np.uint8).data, number * self._buffer.nbytes
        with _out_of_memory():
            while data:
                written = os.pwrite(self._descriptor, data, start)
                data, start = data[written:], start + written

    def offset(self, voxels: HU) -> int:
        """Byte of the file at which the first voxel of a view of these planes lies.

        Raises:
            ValueError: it is no view of them.
        """
        if not np.may_share_memory(voxels, self._planes):
            raise ValueError("the voxels do not lie in the shared file")
        return voxels.ctypes.data - self._planes.ctypes.data
