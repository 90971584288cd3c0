"""A zip writer that lies wherever it is told to.

References:
    PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.16 (end).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

UNIX = 3 << 8


@dataclass(frozen=True)
class Entry:
    """One entry; what is None is written truthfully.

    Attributes:
        method: 0 stored, 8 deflate; any other is written as stored.
        mode: Unix mode of the file, as ``st_mode``.
        size: unpacked size to declare.
        packed_size: packed size to declare.
        offset: place to give in the directory.
        local_name: name in the local header, of as many bytes as ``name``.
        extra: extra field of the directory's record.
    """

    name: bytes
    content: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    extra: bytes = b""

    def packed(self) -> bytes:
        """The content as it stands in the archive."""
        if self.method != 8:
            return self.content
        engine = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        return engine.compress(self.content) + engine.flush()

    def facts(self, packed: bytes) -> bytes:
        """The fields that the local header and the directory share."""
        size = len(self.content) if self.size is None else self.size
        packed_size = len(packed) if self.packed_size is None else self.packed_size
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        return struct.pack("<5H3I", 20, self.flags, self.method, 0, 33, crc, packed_size, size)


def write_zip(
    entries: Iterable[Entry], *, count: int | None = None, size: int | None = None
) -> bytes:
    """The archive; ``count`` and ``size`` are what its end record says of the directory."""
    body, directory, total = bytearray(), bytearray(), 0
    for entry in entries:
        packed = entry.packed()
        facts = entry.facts(packed)
        offset = len(body) if entry.offset is None else entry.offset
        directory += b"PK\x01\x02" + struct.pack("<H", UNIX | 20) + facts
        directory += struct.pack("<5H", len(entry.name), len(entry.extra), 0, 0, 0)
        directory += struct.pack("<2I", entry.mode << 16, offset) + entry.name + entry.extra
        body += b"PK\x03\x04" + facts + struct.pack("<2H", len(entry.name), 0)
        body += (entry.local_name or entry.name) + packed
        total += 1
    shown = total if count is None else count
    length = len(directory) if size is None else size
    end = struct.pack("<4H2IH", 0, 0, shown & 0xFFFF, shown & 0xFFFF, length, len(body), 0)
    return bytes(body + directory + b"PK\x05\x06" + end)
