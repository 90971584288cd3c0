"""Section B, pixels: stored values, their rescale, and how frames lie in a file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset

from tests.catalogue.case import Refused, Section, read
from tests.catalogue.enhanced import write_enhanced
from tests.catalogue.syntaxes import recoded
from tests.catalogue.workbench import SERIES_UID, Workbench

SECTION = Section("B")
add = SECTION.add

J2K = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
Words = NDArray[np.uint16]


def reworked(bench: Workbench, rework: Callable[[Words], NDArray[Any]], **fields: Any) -> Path:
    """The phantom with its stored values changed."""

    def change(ds: Dataset, number: int) -> None:
        words = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        ds.PixelData = rework(words).tobytes()

    return bench.write(change=change, **fields)


def jpeg2000(stored: Words) -> bytes:
    """One reversible code stream."""
    return bytes(encode_array(stored, photometric_interpretation=2, use_mct=False))


# Bits.


@add("12 bits stored, overlay in the others", read())
def _(bench: Workbench) -> Path:
    return reworked(bench, lambda words: words | np.uint16(0xF000), bits_stored=12)


@add("12 bits stored, signed", read())
def _(bench: Workbench) -> Path:
    return bench.write(signed=True, intercept=0.0, bits_stored=12)


@add("12 bits in the upper part of the word", read())
def _(bench: Workbench) -> Path:
    return reworked(
        bench, lambda words: words << np.uint16(4), bits_stored=12, tags={"HighBit": 15}
    )


@add("32 bits allocated", read())
def _(bench: Workbench) -> Path:
    bits = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}
    return reworked(bench, lambda words: words.astype("<u4"), tags=bits)


@add("8 bits allocated", read())
def _(bench: Workbench) -> Path:
    bench.expect((np.round((bench.hu + 1024) / 16) * 16 - 1024).astype(np.int16))
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "RescaleSlope": 16}
    return reworked(bench, lambda words: (words // 16).astype(np.uint8), tags=bits)


@add("metal of 30,000 HU", read())
def _(bench: Workbench) -> Path:
    hu = bench.hu.copy()
    hu[10:14, 10:14, 10:14] = 30_000
    bench.expect(hu)
    return bench.write()


@add("floating point pixels", Refused("unsupported_pixels"))
def _(bench: Workbench) -> Path:
    def change(ds: Dataset, number: int) -> None:
        words = np.frombuffer(ds.PixelData, "<u2")
        del ds.PixelData
        ds.FloatPixelData = words.astype("<f4").tobytes()

    return bench.write(change=change)


@add("odd number of bytes after the pixels", read())
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: data + b"\0")


# Signs.


@add("JPEG 2000, signed in the header only", read())
def _(bench: Workbench) -> Path:
    """Some encoders write signed values as unsigned ones of the same bits."""
    return recoded(
        bench,
        J2K,
        lambda words: jpeg2000(words - np.uint16(1024)),
        PixelRepresentation=1,
        RescaleIntercept=0,
    )


@add("JPEG 2000, signed in the code stream only", read())
def _(bench: Workbench) -> Path:
    return recoded(bench, J2K, lambda words: jpeg2000(words.view(np.int16)))


# Rescale.


@add("another slope and intercept in each slice", read())
def _(bench: Workbench) -> Path:
    for one in bench.slices():
        fields = {"series_uid": SERIES_UID}
        bench.write(
            [one], slope=0.5 if one.number % 2 else 1.0, intercept=-1024.0 - one.number, **fields
        )
    return bench.folder


@add("slope below 0", read())
def _(bench: Workbench) -> Path:
    return bench.write(slope=-1.0, intercept=3000.0)


@add("no slope in one slice", read("files_rejected", "gap_filled", skipped=("missing_tag",)))
def _(bench: Workbench) -> Path:
    def change(ds: Dataset, number: int) -> None:
        if number == 10:
            del ds.RescaleSlope

    _bridged(bench, 9)
    return bench.write(change=change)


def _bridged(bench: Workbench, k: int) -> None:
    hu = bench.hu.astype(np.float32)
    hu[:, :, k] = (hu[:, :, k - 1] + hu[:, :, k + 1]) / 2
    bench.expect(hu)


# Padding: air, and nothing below it.


def _padded(value: int, tags: dict[str, Any], bench: Workbench) -> Path:
    hu = bench.hu.copy()
    hu[0] = value
    slices = Workbench(bench.folder, hu, bench.affine).slices()
    hu[0] = -1024
    bench.expect(hu)
    return bench.write(slices, signed=True, intercept=0.0, tags=tags)


for _value in (-2000, -3024, 700):
    _tags = {"PixelPaddingValue": _value}
    add(f"padding {_value}", read())(partial(_padded, _value, _tags))
add("padding -2000 that no tag announces", read())(partial(_padded, -2000, {}))
add("padding as a range", read())(
    partial(_padded, 1700, {"PixelPaddingValue": 1600, "PixelPaddingRangeLimit": 1800})
)


@add("padding beyond the bits stored", read())
def _(bench: Workbench) -> Path:
    def rework(words: Words) -> Words:
        changed = words.copy()
        changed[:, 0] = 63_536  # -2000 as 16 bits would be +1072 HU in 12
        return changed

    hu = bench.hu.copy()
    hu[-1] = -1024  # column 0 of an LPS image is the patient's right
    path = reworked(bench, rework, bits_stored=12, tags={"PixelPaddingValue": 63_536})
    bench.expect(hu)
    return path


# Displays and colours.


@add("MONOCHROME1", read("monochrome1"))
def _(bench: Workbench) -> Path:
    return bench.tagged(PhotometricInterpretation="MONOCHROME1")


@add("flag of lossy compression", read("lossy"))
def _(bench: Workbench) -> Path:
    return bench.tagged(LossyImageCompression="01")


@add("palette of colours", Refused("secondary_capture"))
def _(bench: Workbench) -> Path:
    return bench.tagged(PhotometricInterpretation="PALETTE COLOR")


@add("three samples a pixel", Refused("secondary_capture"))
def _(bench: Workbench) -> Path:
    return bench.tagged(PhotometricInterpretation="RGB", SamplesPerPixel=3)


@add("code stream in colour under a grey header", Refused("unsupported_pixels"))
def _(bench: Workbench) -> Path:
    def encode(stored: Words) -> bytes:
        colour = np.repeat((stored >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
        return bytes(encode_array(colour, photometric_interpretation=1))

    return recoded(bench, J2K, encode)


# Claims about size, judged before anything is decoded.


def _claims(tags: dict[str, Any], bench: Workbench) -> Path:
    return recoded(bench, RLE, lambda stored: bytes(500), **tags)


add("RLE of 500 bytes claims 65535 x 65535", Refused("unsupported_pixels"))(
    partial(_claims, {"Rows": 65535, "Columns": 65535})
)
add("RLE of 500 bytes claims 2048 x 2048", Refused("bad_pixels"))(
    partial(_claims, {"Rows": 2048, "Columns": 2048})
)


def _giant(marker: bytes, offset: int, form: str, bench: Workbench) -> Path:
    """A code stream that claims more than the header."""
    uid = J2K if marker.startswith(b"\xff\x51") else "1.2.840.10008.1.2.4.80"
    study = bench.write(syntax=uid)
    for path in study.iterdir():
        data = bytearray(path.read_bytes())
        struct.pack_into(form, data, data.index(marker) + offset, 65535, 65535)
        path.write_bytes(data)
    return study


add("JPEG 2000 of 1 kB claims 65535 x 65535", Refused("bad_pixels"))(
    partial(_giant, b"\xff\x51\x00", 6, ">2I")
)
add("JPEG-LS of 1 kB claims 65535 x 65535", Refused("bad_pixels"))(
    partial(_giant, b"\xff\xf7\x00", 5, ">2H")
)


@add("NumberOfFrames 1,000,000", Refused("bad_header"))
def _(bench: Workbench) -> Path:
    return bench.tagged(NumberOfFrames=1_000_000)


@add("NumberOfFrames below 0", Refused("bad_header"))
def _(bench: Workbench) -> Path:
    return bench.tagged(NumberOfFrames=-1)


@add("NumberOfFrames 24, pixels of one", Refused("truncated"))
def _(bench: Workbench) -> Path:
    return write_enhanced(
        bench, bench.slices(), lambda ds: ds.__setattr__("PixelData", ds.PixelData[:3000])
    )


# Pixels that are cut off, damaged or packed otherwise than announced.


@add("pixels cut off in one slice", read("files_rejected", "gap_filled", skipped=("truncated",)))
def _(bench: Workbench) -> Path:
    _bridged(bench, 9)
    study = bench.plain()
    path = sorted(study.iterdir())[9]
    path.write_bytes(path.read_bytes()[:-500])
    return study


@add("pixels cut off in the last slice", read("files_rejected", skipped=("truncated",)))
def _(bench: Workbench) -> Path:
    study = bench.plain()
    path = sorted(study.iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-500])
    bench.expect(bench.hu[:, :, :-1])
    return study


@add("pixels cut off in all slices", Refused("truncated"))
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: data[:-500])


@add(
    "code stream damaged in one slice",
    read("files_rejected", "gap_filled", skipped=("bad_pixels",)),
)
def _(bench: Workbench) -> Path:
    study = bench.write(syntax="1.2.840.10008.1.2.4.70")
    path = sorted(study.iterdir())[9]
    data = path.read_bytes()
    at = data.index(b"\xff\xd8\xff")
    path.write_bytes(data[:at] + bytes(len(data) - at - 8) + data[-8:])
    _bridged(bench, 9)
    return study


def _noise(uid: str, bench: Workbench) -> Path:
    random = np.random.default_rng(0)
    return recoded(bench, uid, lambda stored: random.bytes(800))


for _name, _uid in (
    ("RLE", RLE),
    ("JPEG Baseline", "1.2.840.10008.1.2.4.50"),
    ("JPEG Lossless", "1.2.840.10008.1.2.4.70"),
    ("JPEG-LS", "1.2.840.10008.1.2.4.80"),
    ("JPEG 2000", J2K),
    ("HTJ2K", "1.2.840.10008.1.2.4.201"),
):
    add(f"noise instead of {_name}", Refused("bad_pixels"))(partial(_noise, _uid))


@add("encapsulated pixels under an uncompressed syntax", Refused("bad_pixels"))
def _(bench: Workbench) -> Path:
    return recoded(bench, "1.2.840.10008.1.2.1", jpeg2000)


@add("JPEG 2000 in JP2 boxes", read())
def _(bench: Workbench) -> Path:
    def boxed(stored: Words) -> bytes:
        stream = jpeg2000(stored)
        signature = struct.pack(">I4sI", 12, b"jP  ", 0x0D0A870A)
        kind = struct.pack(">I4s4sI4s", 20, b"ftyp", b"jp2 ", 0, b"jp2 ")
        return signature + kind + struct.pack(">I4s", len(stream) + 8, b"jp2c") + stream

    return recoded(bench, J2K, boxed)
