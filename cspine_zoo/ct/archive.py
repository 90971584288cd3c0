"""Zip archives that nobody vouches for: checked before, counted while they are unpacked.

``zipfile`` parses the central directory and nothing else. Entries are inflated here, because it
accepts overlapping entries (CVE-2024-0450) and inflates before it compares with declared sizes.
Names in an archive are labels for messages and never become paths.

References:
    PKWARE APPNOTE 6.3.10 (zip format); the limits are this project's.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from cspine_zoo.ct.codes import Problem

MAX_ENTRIES: Final = 20_000
MAX_DIRECTORY: Final = 16 << 20
"""Longest central directory in bytes: 20,000 entries with names of 700 characters."""

MAX_TOTAL_RATIO: Final = 100
MAX_ENTRY_RATIO: Final = 1000
RATIO_FROM: Final = 32 << 20
"""Ratios are judged from this many unpacked bytes on; a small archive can do no harm."""

MAX_FILE: Final = 1 << 30
MAX_STUDY: Final = 4 << 30
"""Most bytes of one file and of all files together, as really read."""

_METHODS = {1: "Shrink", 9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_ENCRYPTED = 0x1 | 0x40


@dataclass
class Budget:
    """Bytes and files that may still be read for one study, over all its archives."""

    left: int = MAX_STUDY
    files: int = MAX_ENTRIES

    def spend(self, count: int) -> None:
        """Take ``count`` bytes.

        Raises:
            Problem: there are not that many left.
        """
        self.left -= count
        if self.left < 0:
            raise Problem("too_large", f"the study holds more than {MAX_STUDY >> 30} GiB")

    def count_files(self, count: int = 1) -> None:
        """Take so many files.

        Raises:
            Problem: there were too many.
        """
        self.files -= count
        if self.files < 0:
            raise Problem("too_many_files", f"more than {MAX_ENTRIES:,} files")


def entries(stream: BinaryIO, size: int, budget: Budget) -> Iterator[tuple[str, bytes | Problem]]:
    """Name and content of every plain file in an archive, or why its content cannot be had.

    Args:
        stream: the archive, seekable.
        size: its length in bytes.
        budget: what may be read; counted down.

    Raises:
        Problem: the archive as a whole is not to be trusted.
    """
    infos = [info for info in _directory(stream, size) if not info.is_dir()]
    budget.count_files(len(infos))
    unpacked = 0
    for info in infos:
        if _is_special(info):
            yield info.filename, Problem("special_entry", "a link or device, not a plain file")
            continue
        try:
            data = _unpack(stream, info, budget)
        except Problem as problem:
            if problem.code in ("too_large", "zip_bomb"):
                raise
            yield info.filename, problem
            continue
        unpacked += len(data)
        if unpacked > max(RATIO_FROM, MAX_TOTAL_RATIO * size):
            raise Problem("zip_bomb", f"unpacks to more than {MAX_TOTAL_RATIO} times its size")
        yield info.filename, data


def _directory(stream: BinaryIO, size: int) -> list[zipfile.ZipInfo]:
    _check_directory_size(stream, size)
    try:
        with zipfile.ZipFile(stream) as archive:
            infos, start = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error):
        raise Problem("bad_zip", "the archive is damaged or cut off") from None
    if len(infos) > MAX_ENTRIES:
        raise Problem("too_many_files", f"more than {MAX_ENTRIES:,} entries")
    # A local header is 30 bytes and repeats the name; its extra field may only add to that.
    spans = sorted(
        (info.header_offset, info.header_offset + 30 + info.compress_size) for info in infos
    )
    for (_, end), (begin, _) in zip(spans, [*spans[1:], (start, 0)], strict=False):
        if end > begin:
            raise Problem("zip_bomb", "entries of the archive overlap")
    return infos


def _check_directory_size(stream: BinaryIO, size: int) -> None:
    """Bound the central directory before ``zipfile`` builds an object for each entry."""
    tail = min(size, 65_557)  # end record and the longest comment
    stream.seek(size - tail)
    end = stream.read(tail)
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(end):
        raise Problem("bad_zip", "the archive has no end record; it is damaged or cut off")
    count, directory = struct.unpack_from("<HI", end, at + 10)
    if MAX_ENTRIES < count < 0xFFFF:  # which some writers set to say that zip64 records follow
        raise Problem("too_many_files", f"more than {MAX_ENTRIES:,} entries")
    zip64 = end.rfind(b"PK\x06\x06")
    if directory == 0xFFFFFFFF and zip64 >= 0 and zip64 + 48 <= len(end):
        (directory,) = struct.unpack_from("<Q", end, zip64 + 40)
    if directory > MAX_DIRECTORY:
        raise Problem("too_many_files", "the directory of the archive is too large")


def _is_special(info: zipfile.ZipInfo) -> bool:
    mode = info.external_attr >> 16
    return info.create_system == 3 and stat.S_IFMT(mode) not in (0, stat.S_IFREG)


def _unpack(stream: BinaryIO, info: zipfile.ZipInfo, budget: Budget) -> bytes:
    if info.flag_bits & _ENCRYPTED:
        raise Problem("encrypted_zip", "the archive is password protected")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"number {info.compress_type}")
        raise Problem("zip_method", f"compressed by method {method}")
    if info.file_size > MAX_FILE:
        raise Problem("too_large", f"an entry is larger than {MAX_FILE >> 30} GiB")
    if info.file_size > max(RATIO_FROM, MAX_ENTRY_RATIO * info.compress_size):
        raise Problem("zip_bomb", f"an entry unpacks to over {MAX_ENTRY_RATIO} times its size")
    budget.spend(info.file_size)
    packed = _packed(stream, info)
    if info.compress_type == zipfile.ZIP_STORED:
        data = packed
    else:
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:  # never more than was declared, which the limits above have seen
            data = engine.decompress(packed, info.file_size + 1)
        except zlib.error:
            raise Problem("bad_zip", "the entry is damaged") from None
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise Problem("bad_zip", "the entry is damaged (size or checksum)")
    return data


def _packed(stream: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    stream.seek(info.header_offset)
    header = stream.read(30)
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise Problem("bad_zip", "an entry is not where the directory says")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    stream.seek(name_length + extra_length, 1)
    packed = stream.read(info.compress_size)
    if len(packed) != info.compress_size:
        raise Problem("bad_zip", "an entry is cut off")
    return packed
