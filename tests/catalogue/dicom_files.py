"""Section B, headers: what may be wrong, or only odd, with the elements of a DICOM file."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.catalogue.case import Refused, Section, alone, read
from tests.catalogue.workbench import MARKUP, Edit, Workbench, plain_files

SECTION = Section("B")
add = SECTION.add

FIRST = b"\x08\x00\x08\x00CS"
"""Image Type: where the data set of the phantom's files begins."""


def before_data(element: bytes) -> Edit:
    """Put an element before all others."""

    def edit(data: bytes) -> bytes:
        at = data.index(FIRST)
        return data[:at] + element + data[at:]

    return edit


def replaced(old: bytes, new: bytes) -> Edit:
    """Replace bytes that must be there."""

    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return edit


def short(tag: int, vr: bytes, value: bytes) -> bytes:
    """An explicit little endian element with a length of two bytes."""
    return struct.pack("<2H2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An explicit little endian element with a length of four bytes."""
    size = len(value) if length is None else length
    return struct.pack("<2H2sHI", tag >> 16, tag & 0xFFFF, vr, 0, size) + value


# How the file begins.


@add("no preamble", read())
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: data[132:])


@add("no preamble and no meta header", read())
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: data[data.index(FIRST) :])


@add("no meta header, implicit", read())
def _(bench: Workbench) -> Path:
    bench.write(syntax=ImplicitVRLittleEndian)
    for path in (bench.folder / "study").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[data.index(FIRST[:4]) :])
    return bench.folder


@add("program in the preamble", read())
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: b"MZ\x90\0".ljust(128, b"\xcc") + data[128:])


@add("TIFF in the preamble", read())
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: b"II*\0".ljust(128, b"\0") + data[128:])


@add("wrong length of the meta header", read())
def _(bench: Workbench) -> Path:
    return bench.plain(lambda data: data[:140] + struct.pack("<I", 7) + data[144:])


@add("text that starts like DICOM", Refused("no_dicom"))
def _(bench: Workbench) -> Path:
    return bench.file("upload", b"\x08\0\x05\0 is how this text begins, and then it goes on" * 9)


add("preamble and nothing else", Refused("truncated"))(alone(bytes(128) + b"DICM"))
add("preamble and noise", Refused("truncated"))(
    alone(bytes(128) + b"DICM" + np.random.default_rng(3).bytes(4000))
)


# Lengths and depths.


def _nested(depth: int, tag: int = 0x00091010) -> bytes:
    head = long(tag, b"SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", 0xFFFFFFFF)
    tail = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return head * depth + tail * depth


@add("sequences 60 deep", read())
def _(bench: Workbench) -> Path:
    return bench.plain(before_data(_nested(60)))


@add("sequences 65 deep", Refused("header_too_large"))
def _(bench: Workbench) -> Path:
    return bench.plain(before_data(_nested(65)))


@add("sequences 100,000 deep", Refused("header_too_large"))
def _(bench: Workbench) -> Path:
    return bench.file("deep", before_data(_nested(100_000))(plain_files()[0][1]))


@add("sequences 5,000 deep, of known lengths", read())
def _(bench: Workbench) -> Path:
    """Nobody asks for what is in them: they are jumped over."""
    value = b""
    for _ in range(5000):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value
        value = long(0x00091010, b"SQ", item)
    return bench.plain(before_data(value))


@add("functional groups 200 deep", Refused("header_too_large"))
def _(bench: Workbench) -> Path:
    return bench.plain(before_data(_nested(200, 0x52009229)))


@add("element longer than the file", Refused("truncated"))
def _(bench: Workbench) -> Path:
    return bench.plain(before_data(long(0x00091010, b"UN", b"x" * 16, 1 << 20)))


@add("element of 3 GB claimed", Refused("truncated"))
def _(bench: Workbench) -> Path:
    return bench.plain(before_data(long(0x00091010, b"OB", b"x" * 16, 3 << 30)))


@add("meta element of 3 GB claimed", Refused("truncated"))
def _(bench: Workbench) -> Path:
    meta = long(0x00020001, b"OB", b"\0\1", 3 << 30)
    return bench.plain(lambda data: data[:132] + meta + data[132:])


@add("header of 20 MB in one element", Refused("header_too_large"))
def _(bench: Workbench) -> Path:
    data = before_data(long(0x00091010, b"OB", bytes(20 << 20)))(plain_files()[0][1])
    return bench.file("long", data)


@add("two million empty elements", Refused("header_too_large"))
def _(bench: Workbench) -> Path:
    return bench.file(
        "long", before_data(short(0x00091010, b"LO", b"") * 2_000_000)(plain_files()[0][1])
    )


@add("sequence of a million empty items", Refused("header_too_large"))
def _(bench: Workbench) -> Path:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000
    return bench.file("long", before_data(long(0x52009230, b"SQ", items))(plain_files()[0][1]))


def _sparse(path: Path, size: int) -> Path:
    with path.open("r+b") as file:
        file.truncate(size)
    return path


@add("file of 1.5 GB", Refused("too_large"))
def _(bench: Workbench) -> Path:
    return _sparse(bench.file("big", plain_files()[0][1]), 3 << 29)


@add("file of 1.5 GB beside the scan", read("files_rejected", skipped=("too_large",)))
def _(bench: Workbench) -> Path:
    _sparse(bench.file("study/big", plain_files()[0][1]), 3 << 29)
    return bench.plain()


@add("deflated data set that is a bomb", Refused("too_large"), slow=True)
def _(bench: Workbench) -> Path:
    head, _ = _deflated_parts(bench)
    engine = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(800))
    return bench.file("bomb", head + bomb + engine.flush())


@add("deflated data set that is damaged", Refused("bad_pixels"))
def _(bench: Workbench) -> Path:
    head, _ = _deflated_parts(bench)
    return bench.file("damaged", head + b"\xff" * 500)


@add("deflated data set that is cut off", Refused("truncated"))
def _(bench: Workbench) -> Path:
    head, body = _deflated_parts(bench)
    return bench.file("cut", head + body[: len(body) // 2])


def _deflated_parts(bench: Workbench) -> tuple[bytes, bytes]:
    study = bench.write(bench.slices()[:1], "source", syntax=DeflatedExplicitVRLittleEndian)
    (path,) = study.iterdir()
    data = path.read_bytes()
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    path.unlink()
    study.rmdir()
    return data[:start], data[start:]


# Values.


@add("unknown value representation", Refused("bad_header"))
def _(bench: Workbench) -> Path:
    return bench.plain(replaced(b"\x28\0\x10\0US\2\0", b"\x28\0\x10\0ZZ\2\0"))


@add("value representation left out of one element", read())
def _(bench: Workbench) -> Path:
    private = short(0x00091010, b"LO", b"text") + struct.pack("<2HI", 9, 0x1011, 4) + b"text"
    return bench.plain(replaced(b"\x10\0\x10\0PN", private + b"\x10\0\x10\0PN"))


@add("unknown character set", read())
def _(bench: Workbench) -> Path:
    return bench.plain(before_data(short(0x00080005, b"CS", b"ISO_IR 999")))


@add("bytes of no character set in every text", read())
def _(bench: Workbench) -> Path:
    return bench.plain(replaced(b"Canary^Name ", b"\xff\xfe\x1b$B\x80\0\n\r\\\\\\"))


def _text(tag: int, value: bytes) -> Edit:
    """Give an element that the phantom has another text."""

    def edit(data: bytes) -> bytes:
        at = data.index(struct.pack("<2H", tag >> 16, tag & 0xFFFF), 132)
        (length,) = struct.unpack_from("<H", data, at + 6)
        padded = value + b" " * (len(value) % 2)
        return (
            data[: at + 4]
            + data[at + 4 : at + 6]
            + struct.pack("<H", len(padded))
            + padded
            + (data[at + 8 + length :])
        )

    return edit


for _name, _tag, _value, _code in (
    ("Rows of two values", 0x00280010, b"\x24\0\x24\0", "bad_header"),
    ("Rows of one byte and a space", 0x00280010, b"\x24", "unsupported_pixels"),
    ("Rows of three bytes", 0x00280010, b"\x24\0\0\0", "bad_header"),
    ("Rows 0", 0x00280010, b"\0\0", "unsupported_pixels"),
    ("Rows 65535", 0x00280010, b"\xff\xff", "unsupported_pixels"),
    ("Rows 2000 with fewer pixels", 0x00280010, b"\xd0\7", "truncated"),
    ("pixel spacing in words", 0x00280030, b"wide\\wide", "bad_header"),
    ("pixel spacing with a decimal comma", 0x00280030, b"1,5\\1,5", "bad_header"),
    ("pixel spacing of one value", 0x00280030, b"1.5", "bad_header"),
    ("pixel spacing 0", 0x00280030, b"0\\0", "bad_geometry"),
    ("pixel spacing below 0", 0x00280030, b"-1.5\\1.5", "bad_geometry"),
    ("pixel spacing 1e300", 0x00280030, b"1e300\\1e300", "bad_geometry"),
    ("pixel spacing not a number", 0x00280030, b"nan\\nan", "bad_header"),
    ("position not a number", 0x00200032, b"nan\\0\\0", "bad_header"),
    ("position infinite", 0x00200032, b"0\\0\\inf", "bad_header"),
    ("position of two values", 0x00200032, b"0\\0", "bad_header"),
    ("orientation of zeros", 0x00200037, b"0\\0\\0\\0\\0\\0", "bad_header"),
    ("orientation not at right angles", 0x00200037, b"1\\0\\0\\.8\\.6\\0", "bad_header"),
    ("orientation of parallel axes", 0x00200037, b"1\\0\\0\\1\\0\\0", "bad_header"),
    ("slope 0", 0x00281053, b"0", "bad_rescale"),
    ("slope not a number", 0x00281053, b"nan", "bad_header"),
    ("slope in words", 0x00281053, MARKUP.encode(), "bad_header"),
    ("slope 1e9", 0x00281053, b"1e9", "bad_rescale"),
    ("intercept infinite", 0x00281052, b"-inf", "bad_header"),
    ("bits allocated 12", 0x00280100, b"\x0c\0", "unsupported_pixels"),
    ("bits stored 17", 0x00280101, b"\x11\0", "bad_header"),
    ("bits stored 0", 0x00280101, b"\0\0", "bad_header"),
    ("high bit 3", 0x00280102, b"\3\0", "bad_header"),
    ("sign 7", 0x00280103, b"\7\0", "bad_header"),
    ("modality in markup", 0x00080060, MARKUP.encode(), "not_ct"),
    ("modality with a name", 0x00080060, b"CANARY", "not_ct"),
    ("storage class in markup", 0x00080016, MARKUP.encode(), "not_ct"),
):
    add(_name, Refused(_code))(partial(lambda edit, bench: bench.plain(edit), _text(_tag, _value)))


def _tagged(tags: dict[str, Any], bench: Workbench) -> Path:
    return bench.tagged(**tags)


def _broken(tags: dict[str, Any], bench: Workbench) -> Path:
    return bench.tagged(2, **tags)


for _keyword in (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
):
    add(f"no {_keyword}", Refused("missing_tag"))(partial(_broken, {_keyword: None}))
add("empty PixelSpacing", Refused("missing_tag"))(partial(_broken, {"PixelSpacing": ""}))
add("empty Rows", Refused("missing_tag"))(lambda bench: bench.plain(_text(0x00280010, b"")))
add("no pixels", Refused("truncated"))(partial(_broken, {"PixelData": None}))
add("no modality, but a storage class", read())(partial(_tagged, {"Modality": None}))
add("neither modality nor storage class", Refused("missing_tag"))(
    lambda bench: bench.plain(lambda data: _text(0x00080060, b"")(_text(0x00080016, b"")(data)))
)
add("no identifiers at all", read())(
    partial(
        _tagged,
        dict.fromkeys(
            ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")
        ),
    )
)
add("values of dual energy, not HU", Refused("not_hu"))(partial(_broken, {"RescaleType": "Z_EFF"}))


@add("markup and names in every text of one file that is refused", Refused("missing_tag"))
def _(bench: Workbench) -> Path:
    tags = ("ProtocolName", "Manufacturer", "ManufacturerModelName", "SeriesDescription")
    texts = dict.fromkeys(tags, f"Canary {MARKUP}")
    return bench.tagged(Rows=None, **texts)


@add("one file of noise among the scan", read("files_rejected", skipped=("truncated",)))
def _(bench: Workbench) -> Path:
    bench.file("study/noise", bytes(128) + b"DICM" + np.random.default_rng(3).bytes(4000))
    return bench.plain()


@add(
    "one slice with a broken header", read("files_rejected", "gap_filled", skipped=("bad_header",))
)
def _(bench: Workbench) -> Path:
    hu = bench.hu.astype(np.float32)
    hu[:, :, 9] = (hu[:, :, 8] + hu[:, :, 10]) / 2
    bench.expect(hu)
    study = bench.plain()
    path = sorted(study.iterdir())[9]
    path.write_bytes(_text(0x00280030, b"wide\\wide")(path.read_bytes()))
    return study


@add("private blocks, overlays and a preview picture", read())
def _(bench: Workbench) -> Path:
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 4, 4, bytes(16)
    icon["PixelData"].VR = "OB"
    return bench.tagged(IconImageSequence=[icon])
