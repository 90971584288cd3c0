"""What a file is, from its first bytes; names and extensions are never asked."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from cspine_zoo.ct.elements import KNOWN_VRS

HEAD: Final = 1024
"""Bytes that are enough to tell every kind."""

_MAGIC: Final = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (257, b"ustar", "tar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (0, b"Rar!\x1a\x07", "rar archive"),
    (0, b"\xfd7zXZ\x00", "xz archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"\x28\xb5\x2f\xfd", "zstd archive"),
    (0, b"%PDF", "PDF"),
    (0, b"\xff\xd8\xff", "JPEG picture"),
    (0, b"\x89PNG", "PNG picture"),
    (0, b"GIF8", "GIF picture"),
    (0, b"MZ", "Windows program"),
    (0, b"\x7fELF", "program"),
    (0, b"<!DOCTYPE", "HTML page"),
    (0, b"<html", "HTML page"),
    (0, b"<?xml", "XML file"),
    (0, b"NRRD", "NRRD volume"),
)

_NIFTI_SIZES: Final = (348, 540)


def sniff(head: bytes) -> str:
    """``"dicom"``, ``"nifti"``, ``"zip"``, ``"gzip"``, or a name for what is not read.

    Args:
        head: the first ``HEAD`` bytes, or all if there are fewer.
    """
    if not head:
        return "empty file"
    if head[128:132] == b"DICM":
        return "dicom"
    if len(head) >= 348 and _is_nifti(head):
        return "nifti"
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return _zipped(head) if kind == "gzip" else kind
    return "dicom" if _starts_like_dicom(head) else "unknown file"


def _zipped(head: bytes) -> str:
    """A gzip file by what is in it: NIfTI alone is read from gzip."""
    try:
        inside = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD)
    except zlib.error:
        inside = b""
    if inside[257:262] == b"ustar":
        return "tar.gz archive"
    return "gzip archive" if inside[128:132] == b"DICM" else "gzip"


def _is_nifti(head: bytes) -> bool:
    sizes = {struct.unpack_from(order + "i", head)[0] for order in "<>"}
    return bool(sizes & set(_NIFTI_SIZES))


def _starts_like_dicom(head: bytes) -> bool:
    """DICOM without preamble: two plausible elements of group 2 or 8 in ascending order."""
    for order in "<>":
        explicit = head[4:6] in KNOWN_VRS
        position, last = 0, 0
        for _ in range(2):
            if position + 12 > len(head):
                return False
            group, element, length = struct.unpack_from(order + "HHI", head, position)
            if explicit:
                vr = head[position + 4 : position + 6]
                wide = vr in (b"OB", b"OW", b"UN", b"SQ", b"UT")
                at, code = (position + 8, "I") if wide else (position + 6, "H")
                (length,) = struct.unpack_from(order + code, head, at)
                length += 4 if wide else 0
                if vr not in KNOWN_VRS:
                    break
            tag = group << 16 | element
            if group not in (2, 8) or tag < last or length > 1024:
                break
            position, last = position + 8 + length, tag
        else:
            return True
    return False
