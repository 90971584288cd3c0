"""The transfer syntaxes that are read, with the decoders of each in the order they are tried.

References:
    DICOM PS3.6 table A-1 (UIDs), PS3.5 annex A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.elements import EXPLICIT, IMPLICIT, Encoding


@dataclass(frozen=True, slots=True)
class Syntax:
    """How one transfer syntax writes its elements and its pixels.

    Attributes:
        uid: Transfer Syntax UID.
        name: as in the standard.
        decoders: names of functions in ``cspine_zoo.ct.decode``; empty for uncompressed pixels.
        encoding: of the elements.
        deflated: the whole data set is one deflate stream.
        lossy: the pixels always, or possibly, differ from what the scanner made.
    """

    uid: str
    name: str
    decoders: tuple[str, ...] = ()
    encoding: Encoding = EXPLICIT
    deflated: bool = False
    lossy: bool = False


# Pillow is never tried for JPEG 2000: its values are wrong for a public real file with signed
# pixels in an unsigned code stream (pydicom's J2K_pixelrep_mismatch.dcm shows the kind).
_J2K = ("openjpeg", "gdcm")
_JLS = ("pyjpegls", "gdcm")

_READ = (
    Syntax("1.2.840.10008.1.2", "Implicit VR Little Endian", encoding=IMPLICIT),
    Syntax("1.2.840.10008.1.2.1", "Explicit VR Little Endian"),
    Syntax("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", deflated=True),
    Syntax(
        "1.2.840.10008.1.2.2",
        "Explicit VR Big Endian",
        encoding=Encoding(explicit=True, little=False),
    ),
    Syntax("1.2.840.10008.1.2.5", "RLE Lossless", ("rle",)),
    Syntax("1.2.840.10008.1.2.4.50", "JPEG Baseline", ("pillow",), lossy=True),
    Syntax("1.2.840.10008.1.2.4.57", "JPEG Lossless, Process 14", ("gdcm",)),
    Syntax("1.2.840.10008.1.2.4.70", "JPEG Lossless, Selection Value 1", ("gdcm",)),
    Syntax("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", _JLS),
    Syntax("1.2.840.10008.1.2.4.81", "JPEG-LS Near-Lossless", _JLS, lossy=True),
    Syntax("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", _J2K),
    Syntax("1.2.840.10008.1.2.4.91", "JPEG 2000", _J2K, lossy=True),
    Syntax("1.2.840.10008.1.2.4.201", "HTJ2K Lossless", _J2K),
    Syntax("1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL", _J2K),
    Syntax("1.2.840.10008.1.2.4.203", "HTJ2K", _J2K, lossy=True),
)

SYNTAXES: Final[dict[str, Syntax]] = {syntax.uid: syntax for syntax in _READ}
"""Every transfer syntax that is read, by its UID."""

REFUSED: Final[dict[str, str]] = {
    "1.2.840.10008.1.2.4.51": "JPEG Extended (12 bit)",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Multi-component Lossless",
    "1.2.840.10008.1.2.4.93": "JPEG 2000 Multi-component",
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.95": "JPIP Referenced Deflate",
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile / Main Level",
    "1.2.840.10008.1.2.4.101": "MPEG2 Main Profile / High Level",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile",
    "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible High Profile",
    "1.2.840.10008.1.2.4.104": "MPEG-4 AVC/H.264 High Profile for 2D Video",
    "1.2.840.10008.1.2.4.105": "MPEG-4 AVC/H.264 High Profile for 3D Video",
    "1.2.840.10008.1.2.4.106": "MPEG-4 AVC/H.264 Stereo High Profile",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile",
    "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.204": "JPIP HTJ2K Referenced",
    "1.2.840.10008.1.2.4.205": "JPIP HTJ2K Referenced Deflate",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
"""Known, and refused by name."""


def find(uid: str) -> Syntax:
    """The syntax of a Transfer Syntax UID.

    Raises:
        Problem: the syntax is not read.
    """
    syntax = SYNTAXES.get(uid)
    if syntax is None:
        # Text from a header is shown only if it is one of the standard's own names.
        known = REFUSED.get(uid, "of an unknown kind")
        raise Problem("unsupported_syntax", f"the transfer syntax is {known}, which is not read")
    return syntax
