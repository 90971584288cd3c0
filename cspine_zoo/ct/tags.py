"""The tags that reading CT needs; every other element is dropped while the header is parsed.

Nothing here is shown or exported as it stands: patient and study identifiers are only compared.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.elements import DataSet, name

TRANSFER_SYNTAX: Final = 0x00020010
KEYWORDS: Final[dict[int, str]] = {
    0x00080008: "ImageType",
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x00080060: "Modality",
    0x00089007: "FrameType",
    0x00100010: "PatientName",
    0x00100020: "PatientID",
    0x00181210: "ConvolutionKernel",
    0x00189329: "CTImageFrameTypeSequence",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00200011: "SeriesNumber",
    0x00200012: "AcquisitionNumber",
    0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient",
    0x00209113: "PlanePositionSequence",
    0x00209116: "PlaneOrientationSequence",
    0x00280002: "SamplesPerPixel",
    0x00280004: "PhotometricInterpretation",
    0x00280008: "NumberOfFrames",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280030: "PixelSpacing",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280102: "HighBit",
    0x00280103: "PixelRepresentation",
    0x00280120: "PixelPaddingValue",
    0x00280121: "PixelPaddingRangeLimit",
    0x00281052: "RescaleIntercept",
    0x00281053: "RescaleSlope",
    0x00281054: "RescaleType",
    0x00282110: "LossyImageCompression",
    0x00289110: "PixelMeasuresSequence",
    0x00289145: "PixelValueTransformationSequence",
    0x52009229: "SharedFunctionalGroupsSequence",
    0x52009230: "PerFrameFunctionalGroupsSequence",
}
"""DICOM PS3.6 keywords of the tags that are kept."""

TAGS: Final = {keyword: tag for tag, keyword in KEYWORDS.items()}


def missing(keyword: str) -> Problem:
    """The tag is not there, or empty."""
    return Problem("missing_tag", f"{keyword} {name(TAGS[keyword])} is missing")


def broken(keyword: str) -> Problem:
    """The tag is there, and cannot mean what it must."""
    return Problem("bad_header", f"{keyword} {name(TAGS[keyword])} is not what DICOM allows")


def texts(dataset: DataSet, keyword: str) -> tuple[str, ...]:
    """Values of a text element, without padding; empty if the element is missing or empty."""
    return _parts(dataset.values.get(TAGS[keyword], b""))


@lru_cache(maxsize=256)  # slices of a series share nearly all of them
def _parts(raw: bytes) -> tuple[str, ...]:
    # Every text tag above is of a VR that the default character set covers, or only compared.
    text = raw.decode("latin-1").strip(" \0\t\r\n")
    if "\\" not in text:
        return (text,) if text else ()
    return tuple(part.strip(" \0") for part in text.split("\\"))


def identifier(dataset: DataSet, keyword: str) -> bytes:
    """Whom or what a file belongs to, good for comparison only; kept nowhere."""
    return dataset.values.get(TAGS[keyword], b"").strip(b" \0\t\r\n")


def text(dataset: DataSet, keyword: str) -> str:
    """First value of a text element, or the empty string."""
    values = texts(dataset, keyword)
    return values[0] if values else ""


def floats(dataset: DataSet, keyword: str, count: int) -> tuple[float, ...]:
    """Exactly ``count`` finite decimal numbers.

    Raises:
        Problem: missing, or not such numbers.
    """
    try:
        values = _decimals(dataset.values.get(TAGS[keyword], b""))
    except ValueError:
        raise broken(keyword) from None
    if not values:
        raise missing(keyword)
    if len(values) != count or not all(map(math.isfinite, values)):
        raise broken(keyword)
    return values


@lru_cache(maxsize=64)  # slices of a series share all of them but their position
def _decimals(raw: bytes) -> tuple[float, ...]:
    return tuple(map(float, _parts(raw)))


def integer(dataset: DataSet, keyword: str, default: int | None = None) -> int:
    """One integer written as text (VR IS)."""
    parts = texts(dataset, keyword)
    if not parts and default is not None:
        return default
    if not parts:
        raise missing(keyword)
    try:
        (value,) = map(int, parts)
    except ValueError:
        raise broken(keyword) from None
    return value


def word(
    dataset: DataSet, keyword: str, default: int | None = None, *, signed: bool = False
) -> int:
    """One 16-bit number (VR US or SS)."""
    raw = dataset.values.get(TAGS[keyword], b"")
    if not len(raw) and default is not None:
        return default
    if not len(raw):
        raise missing(keyword)
    if len(raw) != 2:
        raise broken(keyword)
    return int.from_bytes(raw, "little" if dataset.encoding.little else "big", signed=signed)
