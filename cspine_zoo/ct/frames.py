"""The frames of a CT image: where each lies in the patient, and its encoded pixels."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cspine_zoo.ct import tags
from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.elements import PIXEL_DATA, UNDEFINED, Buffer, DataSet, Encoding, fragments
from cspine_zoo.ct.rescale import Rescale
from cspine_zoo.ct.syntaxes import Syntax

MAX_SIDE: Final = 2048
"""Most rows or columns of a slice; scanners make up to 1024, photon-counting ones up to 2048."""

MAX_FRAMES: Final = 1500
"""Most slices of a volume; a whole spine at 0.5 mm has about 1,400."""

PIXEL_SPACING_MM: Final = (0.05, 5.0)
"""Plausible range of the distance between pixels."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How stored values of a frame are written.

    Attributes:
        syntax: transfer syntax of the pixels.
        little: byte order of uncompressed pixels.
        padding: lowest and highest stored value that mean "no image here", or None.
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None
    syntax: Syntax

    @property
    def little(self) -> bool:
        """Byte order of uncompressed pixels."""
        return self.syntax.encoding.little

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice of CT, not yet decoded; coordinates are DICOM's (LPS, mm).

    Attributes:
        file: name of the file, as the caller knows it.
        position: centre of the first pixel.
        orientation: unit vectors along a row (towards the next column) and along a column.
        pixel_spacing_mm: distance between rows and between columns.
        rescale: from stored values to HU.
        pixels: encoded bytes, in one piece or in fragments.
    """

    file: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, ...]
    rescale: Rescale
    format: PixelFormat
    pixels: tuple[Buffer, ...]


def read_frames(file: str, data: Buffer, dataset: DataSet, syntax: Syntax) -> tuple[Frame, ...]:
    """All frames of one CT image.

    Args:
        file: name of the file, as the caller knows it.
        data: the bytes that positions in ``dataset`` refer to.
        dataset: the parsed header.
        syntax: transfer syntax of the pixels.

    Raises:
        Problem: a tag is missing or wrong, or the pixels are not all there.
    """
    count = tags.integer(dataset, "NumberOfFrames", 1)
    if not 1 <= count <= MAX_FRAMES:
        raise tags.broken("NumberOfFrames")
    form = _format(dataset, syntax)
    groups = _functional_groups(dataset, count)
    places = [_place(group, form) for group in groups]
    pixels = _pixels(data, dataset, form, count)
    return tuple(
        Frame(file, *place, form, part) for place, part in zip(places, pixels, strict=True)
    )


def _format(dataset: DataSet, syntax: Syntax) -> PixelFormat:
    rows, columns = tags.word(dataset, "Rows"), tags.word(dataset, "Columns")
    if not (2 <= rows <= MAX_SIDE and 2 <= columns <= MAX_SIDE):
        raise Problem("unsupported_pixels", f"a slice of {columns} x {rows} pixels is not CT")
    allocated = tags.word(dataset, "BitsAllocated")
    stored = tags.word(dataset, "BitsStored")
    high = tags.word(dataset, "HighBit", stored - 1 if stored else 0)
    if allocated not in (8, 16, 32) or (allocated == 8 and not syntax.encoding.little):
        raise Problem("unsupported_pixels", f"{allocated} bits allocated a pixel are not read")
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise tags.broken("BitsStored")
    signed = tags.word(dataset, "PixelRepresentation")
    if signed not in (0, 1):
        raise tags.broken("PixelRepresentation")
    return PixelFormat(
        rows, columns, allocated, stored, high, bool(signed), _padding(dataset, signed == 1), syntax
    )


def _padding(dataset: DataSet, signed: bool) -> tuple[int, int] | None:
    if not len(dataset.values.get(tags.TAGS["PixelPaddingValue"], b"")):
        return None
    value = tags.word(dataset, "PixelPaddingValue", signed=signed)
    limit = tags.word(dataset, "PixelPaddingRangeLimit", value & 0xFFFF)
    if signed and limit > 0x7FFF:
        limit -= 0x10000
    return min(value, limit), max(value, limit)


def _functional_groups(dataset: DataSet, count: int) -> list[list[DataSet]]:
    """For each frame the data sets to look in, most specific first (PS3.3 C.7.6.16)."""
    shared = dataset.sequences.get(tags.TAGS["SharedFunctionalGroupsSequence"], [])
    per_frame = dataset.sequences.get(tags.TAGS["PerFrameFunctionalGroupsSequence"], [])
    if not per_frame:
        if count > 1:
            raise tags.missing("PerFrameFunctionalGroupsSequence")
        return [[dataset]]
    if len(per_frame) != count:
        raise tags.broken("PerFrameFunctionalGroupsSequence")
    return [[group, *shared, dataset] for group in per_frame]


def _look(groups: list[DataSet], sequence: str) -> DataSet:
    """The item of a functional group, or the image itself where it has none."""
    for group in groups:
        items = group.sequences.get(tags.TAGS[sequence])
        if items:
            return items[0]
    return groups[-1]


Place = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], Rescale]


def _place(groups: list[DataSet], form: PixelFormat) -> Place:
    """Position, orientation, pixel spacing and rescale of one frame."""
    position = tags.floats(_look(groups, "PlanePositionSequence"), "ImagePositionPatient", 3)
    plane = _look(groups, "PlaneOrientationSequence")
    orientation = tags.floats(plane, "ImageOrientationPatient", 6)
    measures = _look(groups, "PixelMeasuresSequence")
    spacing = tags.floats(measures, "PixelSpacing", 2)
    transformation = _look(groups, "PixelValueTransformationSequence")
    (slope,) = tags.floats(transformation, "RescaleSlope", 1)
    (intercept,) = tags.floats(transformation, "RescaleIntercept", 1)
    low, high = PIXEL_SPACING_MM
    if not all(low <= value <= high for value in spacing):
        raise Problem("bad_geometry", f"pixels are not {spacing[0]:g} x {spacing[1]:g} mm apart")
    if slope == 0 or abs(slope) > 1e3 or abs(intercept) > 1e5:
        raise Problem("bad_rescale", f"slope {slope:g} and intercept {intercept:g} give no HU")
    # Units other than HU are named by dual-energy maps; "US" (unspecified) is common for true HU.
    if tags.text(transformation, "RescaleType") not in ("", "HU", "US"):
        raise Problem("not_hu", "RescaleType says that the values are not Hounsfield units")
    rescale = Rescale(slope, intercept, form.bits_stored, form.signed)
    return position, _unit_vectors(orientation), spacing, rescale


@lru_cache(maxsize=64)  # slices of a series share it
def _unit_vectors(orientation: tuple[float, ...]) -> tuple[float, ...]:
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    if not all(abs(length - 1) < 1e-2 for length in lengths):
        raise tags.broken("ImageOrientationPatient")
    if abs(sum(a * b for a, b in zip(row, column, strict=True))) > 1e-3:
        raise tags.broken("ImageOrientationPatient")
    return tuple(v / lengths[0] for v in row) + tuple(v / lengths[1] for v in column)


def _pixels(
    data: Buffer, dataset: DataSet, form: PixelFormat, count: int
) -> list[tuple[Buffer, ...]]:
    """Encoded bytes of every frame, as views into ``data``."""
    if dataset.pixel_tag != PIXEL_DATA:
        kind = "are floating point" if dataset.pixel_tag else "are missing"
        raise Problem("unsupported_pixels" if dataset.pixel_tag else "truncated", f"pixels {kind}")
    view = memoryview(data)
    start = dataset.pixel_start
    if form.syntax.decoders:
        if dataset.pixel_length != UNDEFINED:
            raise Problem("bad_pixels", "compressed pixels are not encapsulated")
        items, _ = fragments(data, start, dataset.encoding)
        return [
            tuple(view[begin : begin + length] for begin, length in part)
            for part in _split(view, items, count, dataset.encoding)
        ]
    if dataset.pixel_length == UNDEFINED:
        raise Problem("bad_pixels", "uncompressed pixels are encapsulated")
    size = form.frame_bytes
    there = min(dataset.pixel_length, len(data) - start)
    if there < size * count:
        raise Problem("truncated", f"{there} bytes of pixels where {size * count} are needed")
    return [(view[start + n * size : start + (n + 1) * size],) for n in range(count)]


def _split(
    view: memoryview, items: list[tuple[int, int]], count: int, encoding: Encoding
) -> list[list[tuple[int, int]]]:
    """Fragments of each frame: by their number, the offset table, or the code streams' starts."""
    if len(items) < 2:
        raise Problem("truncated", "the encapsulated pixel data are empty")
    table, parts = items[0], items[1:]
    if count == 1:
        return [parts]
    if len(parts) == count:
        return [[part] for part in parts]
    origin = parts[0][0] - 8
    begins = {start - 8 - origin: n for n, (start, _) in enumerate(parts)}
    firsts: list[int | None] = []
    if table[1] == 4 * count:
        offsets = struct.unpack_from(f"{encoding.order}{count}I", view, table[0])
        firsts = [begins.get(offset) for offset in offsets]
    if not firsts or None in firsts:
        # SOI and SOC markers: JPEG families and JPEG 2000.
        marks = (b"\xff\xd8", b"\xff\x4f")
        firsts = [n for n, (s, _) in enumerate(parts) if bytes(view[s : s + 2]) in marks]
    known = [first for first in firsts if first is not None]
    if len(known) != count or known[0] != 0 or known != sorted(set(known)):
        raise Problem(
            "bad_pixels", "the frames in the encapsulated pixel data cannot be told apart"
        )
    return [parts[a:b] for a, b in zip(known, [*known[1:], len(parts)], strict=True)]
