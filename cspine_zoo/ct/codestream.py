"""What a JPEG, JPEG-LS or JPEG 2000 code stream says about itself, before it is decoded.

A file of 910 bytes can claim 65535 x 65535 pixels; a codec that believes it allocates 8 GiB.

References:
    ISO/IEC 10918-1 annex B (SOF markers); ISO/IEC 14495-1 annex C (SOF55);
    ISO/IEC 15444-1 annex A.5.1 (SIZ) and annex I (JP2 boxes).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from cspine_zoo.ct.codes import Problem

_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # DHT, JPG, DAC lie among the start-of-frame markers
_STANDALONE = (0x01, *range(0xD0, 0xD9))


class Codestream(NamedTuple):
    """Size and sample format of one code stream, and its bytes without any wrapping."""

    rows: int
    columns: int
    components: int
    precision: int
    data: bytes


def read_codestream(data: bytes, decoder: str) -> Codestream | None:
    """Parse the start of a code stream; None for RLE, which says nothing about its size.

    Args:
        data: one encoded frame.
        decoder: first decoder of the transfer syntax.

    Raises:
        Problem: these bytes are no such code stream.
    """
    if decoder == "rle":
        return None
    try:
        stream = _jpeg2000(data) if decoder == "openjpeg" else _jpeg(data)
    except struct.error:
        stream = None
    if stream is None or not 1 <= stream.precision <= 16:
        raise Problem("bad_pixels", "the pixels are not the code stream that the header announces")
    return stream


def _jpeg2000(data: bytes) -> Codestream | None:
    if data.startswith(_JP2_SIGNATURE):
        data = _unwrap(data)
    if not data.startswith(_SOC_SIZ):
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, 8)
    components, depth = struct.unpack_from(">HB", data, 40)
    return Codestream(y1 - y0, x1 - x0, components, (depth & 0x7F) + 1, data)


def _unwrap(data: bytes) -> bytes:
    """The code stream inside a JP2 file, which DICOM forbids and some writers keep."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"jp2c":
            return data[position + 8 :]
        if length < 8:
            break
        position += length
    return b""


def _jpeg(data: bytes) -> Codestream | None:
    if not data.startswith(b"\xff\xd8"):
        return None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES) or marker == 0xF7:
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, position + 4)
            return Codestream(rows, columns, components, precision, data)
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + max(length, 2)
    return None
