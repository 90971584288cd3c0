"""Values whose arrays two processes see at once: written down once, mapped by both, never sent."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_SMALL: Final = 1 << 16
"""Bytes of an array that is not worth pages of its own."""

_PROTOCOL: Final = 5
"""PEP 574: arrays leave the stream as buffers."""


@dataclass(frozen=True)
class Outline:
    """A value without its arrays' bytes, and where in the shared file these are.

    Attributes:
        stream: the pickled rest.
        spans: first byte and number of bytes of each array.
    """

    stream: bytes
    spans: tuple[tuple[int, int], ...]

    def fill(self, descriptor: int) -> Any:
        """The value, its arrays a private mapping of the file: writing changes nobody else's."""
        size = os.fstat(descriptor).st_size
        if not size:
            return pickle.loads(self.stream, buffers=[])
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        block = memoryview(mmap.mmap(descriptor, size, mmap.MAP_PRIVATE, protection))
        buffers = [block[start : start + count] for start, count in self.spans]
        return pickle.loads(self.stream, buffers=buffers)


class Shared(Generic[T]):
    """A value in memory that any process can map which is handed its file.

    Args:
        value: copied once; its arrays may have any strides.

    Raises:
        MemoryError: there is no room for the copy.
    """

    def __init__(self, value: T) -> None:
        arrays: list[memoryview] = []

        def put_aside(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _SMALL:
                return True
            arrays.append(raw)
            return False

        stream = io.BytesIO()
        _Pickler(stream, _PROTOCOL, buffer_callback=put_aside).dump(value)
        self.file = _memory_file()
        weakref.finalize(self, os.close, self.file)
        self.outline = Outline(stream.getvalue(), tuple(_write(self.file, arrays)))
        self.value: T = self.outline.fill(self.file)


def pack(value: object) -> tuple[bytes, list[int]]:
    """``value`` pickled, and the files of every ``Shared`` in it, which go beside the bytes."""
    stream, files = io.BytesIO(), list[int]()
    _Packer(stream, files).dump(value)
    return stream.getvalue(), files


def unpack(data: bytes, files: Sequence[int]) -> Any:
    """What was packed, each ``Shared`` replaced by its value; the files can be closed then."""
    return _Unpacker(data, files).load()


class _Pickler(pickle.Pickler):
    """Also puts aside arrays that run backwards, as the voxels of many scans do."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.hasobject or value.nbytes < _SMALL:
            return NotImplemented
        if value.flags.c_contiguous or value.flags.f_contiguous:
            return NotImplemented
        flipped = tuple(axis for axis, stride in enumerate(value.strides) if stride < 0)
        forward = np.flip(value, flipped)
        order = sorted(range(value.ndim), key=lambda axis: -forward.strides[axis])
        plain = np.ascontiguousarray(forward.transpose(order))
        return _turned, (plain, np.argsort(order).tolist(), flipped)


def _turned(plain: NDArray[Any], order: Sequence[int], flipped: tuple[int, ...]) -> NDArray[Any]:
    return np.flip(plain.transpose(order), flipped)


class _Packer(_Pickler):
    def __init__(self, stream: io.BytesIO, files: list[int]) -> None:
        super().__init__(stream, _PROTOCOL)
        self._files = files

    def persistent_id(self, value: Any) -> tuple[int, Outline] | None:
        if not isinstance(value, Shared):
            return None
        self._files.append(value.file)
        return len(self._files) - 1, value.outline


class _Unpacker(pickle.Unpickler):
    def __init__(self, data: bytes, files: Sequence[int]) -> None:
        super().__init__(io.BytesIO(data))
        self._files = files

    def persistent_load(self, place: tuple[int, Outline]) -> Any:
        number, outline = place
        return outline.fill(self._files[number])


def _memory_file() -> int:
    """A file without a name, in memory where the system can; /dev/shm may be small."""
    if sys.platform == "linux":
        return os.memfd_create("cspine-zoo-study")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(descriptor: int, arrays: Sequence[memoryview]) -> list[tuple[int, int]]:
    spans, start = list[tuple[int, int]](), 0
    for array in arrays:
        spans.append((start, array.nbytes))
        _write_all(descriptor, array, start)
        start += -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    return spans


def _write_all(descriptor: int, data: memoryview, start: int) -> None:
    try:
        while data:
            written = os.pwrite(descriptor, data, start)
            data, start = data[written:], start + written
    except OSError:
        raise MemoryError from None  # what the system refuses to this file is memory
