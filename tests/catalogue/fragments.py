"""Section B, encapsulated pixels: how frames lie in fragments, with and without offset tables."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from tests.catalogue.case import Refused, Section, read
from tests.catalogue.enhanced import write_enhanced
from tests.catalogue.pixels import J2K, RLE, Words, jpeg2000
from tests.catalogue.syntaxes import encapsulate_as
from tests.catalogue.workbench import Workbench

SECTION = Section("B")
add = SECTION.add

# Fragments and offset tables.


def item(data: bytes) -> bytes:
    """One item of encapsulated pixels, padded to an even length."""
    padded = data + b"\0" * (len(data) % 2)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(padded)) + padded


def pieces(data: bytes, count: int) -> list[bytes]:
    """Items of a stream cut into parts of even lengths."""
    step = len(data) // count // 2 * 2
    cuts = [*range(0, step * count, step), len(data)]
    cuts[count] = len(data)
    return [item(data[a:b]) for a, b in pairwise(cuts)]


def _single(count: int, table: bytes, bench: Workbench) -> Path:
    def change(ds: Dataset, number: int) -> None:
        words = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        end = b"\xfe\xff\xdd\xe0\0\0\0\0"
        ds.PixelData = item(table) + b"".join(pieces(jpeg2000(words), count)) + end
        ds["PixelData"].VR = "OB"

    study = bench.write(change=change)
    for path in study.iterdir():
        encapsulate_as(J2K, path)
    return study


add("one frame in 5 fragments", read())(partial(_single, 5, b""))
add("one frame, offset table of noise", read())(partial(_single, 3, b"\xff" * 12))


def _frames(count: int, table: str, encode: Callable[[Words], bytes], bench: Workbench) -> Path:
    """Multi-frame, each frame in so many fragments, with a table of this kind."""

    def change(ds: Dataset) -> None:
        words = np.frombuffer(ds.PixelData, "<u2").reshape(-1, ds.Rows, ds.Columns)
        offsets, body = [], b""
        for frame in words:
            offsets.append(len(body))
            body += b"".join(pieces(encode(frame), count))
        if table == "wrong":
            offsets = [n * 10 + 1 for n in range(len(words))]
        basic = struct.pack(f"<{len(offsets)}I", *offsets) if table in ("right", "wrong") else b""
        if table == "extended":
            ds.ExtendedOffsetTable = struct.pack(f"<{len(offsets)}Q", *offsets)
            ds.ExtendedOffsetTableLengths = bytes(8 * len(offsets))
        ds.PixelData = item(basic) + body + b"\xfe\xff\xdd\xe0\0\0\0\0"
        ds["PixelData"].VR = "OB"

    path = write_enhanced(bench, bench.slices(), change)
    return encapsulate_as(J2K if encode is jpeg2000 else RLE, path)


def packbits(words: Words) -> bytes:
    """RLE of one frame: two segments, high bytes first (PS3.5 annex G), nothing compressed."""
    segments = []
    for plane in (words >> 8, words & 0xFF):
        data = plane.astype(np.uint8).tobytes()
        parts = [data[n : n + 128] for n in range(0, len(data), 128)]
        segment = b"".join(bytes([len(part) - 1]) + part for part in parts)
        segments.append(segment + b"\0" * (len(segment) % 2))
    header = struct.pack("<16I", 2, 64, 64 + len(segments[0]), *[0] * 13)
    return header + b"".join(segments)


for _name, _count, _table, _encode in (
    ("multi-frame JPEG 2000, a fragment each", 1, "none", jpeg2000),
    ("multi-frame JPEG 2000, 3 fragments each, offset table", 3, "right", jpeg2000),
    ("multi-frame JPEG 2000, 3 fragments each, no table", 3, "none", jpeg2000),
    ("multi-frame JPEG 2000, 3 fragments each, wrong table", 3, "wrong", jpeg2000),
    ("multi-frame JPEG 2000, 3 fragments each, extended table", 3, "extended", jpeg2000),
    ("multi-frame RLE, a fragment each", 1, "right", packbits),
    ("multi-frame RLE, 2 fragments each, offset table", 2, "right", packbits),
    ("multi-frame RLE, a fragment each, extended table", 1, "extended", packbits),
):
    add(_name, read())(partial(_frames, _count, _table, _encode))
add("multi-frame RLE, 2 fragments each, no table", Refused("bad_pixels"))(
    partial(_frames, 2, "none", packbits)
)
