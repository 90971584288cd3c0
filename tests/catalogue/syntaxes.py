"""Section B, transfer syntaxes: each is read, exactly if it is lossless, or refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from cspine_zoo.ct.syntaxes import REFUSED, SYNTAXES
from tests.catalogue.case import Refused, Section, read
from tests.catalogue.workbench import Edit, Workbench
from tests.ct.dicom_writer import BY_GDCM, ENCAPSULATED, UNCOMPRESSED

SECTION = Section("B")
add = SECTION.add

Encode = Callable[[NDArray[np.uint16]], bytes]
_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
HTJ2K = Path(__file__).with_name("ramp.j2c")


def syntax_edit(uid: str) -> Edit:
    """Write another Transfer Syntax UID into a file of the phantom."""

    def edit(data: bytes) -> bytes:
        head, tail = data.split(b"1.2.840.10008.1.2.1\0", 1)
        padded = uid.encode() + b"\0" * (len(uid) % 2)
        return head[:-2] + struct.pack("<H", len(padded)) + padded + tail

    return edit


def recoded(bench: Workbench, uid: str, encode: Encode, **tags: object) -> Path:
    """The volume of the workbench in another syntax, each slice encoded by ``encode``.

    The writer knows no such syntax: it writes encapsulated pixels under an uncompressed one,
    whose UID is changed afterwards.
    """

    def change(ds: Dataset, number: int) -> None:
        stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        ds.PixelData = encapsulate([encode(stored)])
        ds["PixelData"].VR = "OB"
        for keyword, value in tags.items():
            setattr(ds, keyword, value)

    study = bench.write(change=change)
    for path in study.iterdir():
        encapsulate_as(uid, path)
    return study


def encapsulate_as(uid: str, path: Path) -> Path:
    """Declare the pixels of a file to be encapsulated, as they are, and of this syntax."""
    data = syntax_edit(uid)(path.read_bytes())
    at = data.index(b"\xe0\x7f\x10\x00OB\0\0")
    tail = data[at + 12 :]
    end = b"" if tail.endswith(_END) else _END
    path.write_bytes(data[: at + 8] + b"\xff\xff\xff\xff" + tail + end)
    return path


def _plain(uid: str, signed: bool, bench: Workbench) -> Path:
    return bench.write(syntax=uid, signed=signed, intercept=0.0 if signed else -1024.0)


for _uid in (*UNCOMPRESSED, *ENCAPSULATED, *BY_GDCM):
    for _signed in (False, True):
        _name = f"{SYNTAXES[_uid].name}, {'signed' if _signed else 'unsigned'}"
        add(_name, read())(partial(_plain, _uid, _signed))

add("JPEG 2000, reversible", read("lossy"))(
    lambda bench: _under(bench, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
)
add("JPEG-LS Near-Lossless, error 0", read("lossy"))(
    lambda bench: _under(bench, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
)


def _under(bench: Workbench, made: str, said: str) -> Path:
    """Lossless code streams under the UID of the lossy syntax, which allows both."""
    study = bench.write(syntax=made)
    for path in study.iterdir():
        data = path.read_bytes()
        path.write_bytes(data.replace(made.encode(), said.encode(), 1))
    return study


@add("JPEG-LS Near-Lossless, error 3", read("lossy"))
def _(bench: Workbench) -> Path:
    bench.tolerance_hu = 3

    def encode(stored: NDArray[np.uint16]) -> bytes:
        rows, columns = stored.shape
        return jpeg_ls.encode_pixel_data(
            stored.tobytes(),
            lossy_error=3,
            rows=rows,
            columns=columns,
            samples_per_pixel=1,
            bits_stored=16,
        )

    return recoded(bench, "1.2.840.10008.1.2.4.81", encode)


@add("JPEG Baseline, 8 bits", read("lossy"))
def _(bench: Workbench) -> Path:
    ramp = np.add.outer(np.arange(36), np.arange(34))[:, :, None] * 32 - 1000
    bench.expect(np.repeat(ramp, 24, axis=2).astype(np.int16))
    bench.tolerance_hu = 32

    def encode(stored: NDArray[np.uint16]) -> bytes:
        stream = BytesIO()
        Image.fromarray((stored // 16).astype(np.uint8)).save(stream, "JPEG", quality=100)
        return stream.getvalue()

    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "RescaleSlope": 16}
    return recoded(bench, "1.2.840.10008.1.2.4.50", encode, **eight)


def ramp_hu() -> NDArray[np.int16]:
    """The volume whose every slice is the code stream of ``ramp.j2c``, made by OpenJPH 0.26."""
    rows, columns = np.mgrid[:34, :36]
    axial = (rows * 53 + columns * 29 + rows * columns) % 3000 - 1024
    return np.repeat(axial[::-1, ::-1].T[:, :, None], 24, axis=2).astype(np.int16)


def _htj2k(uid: str, bench: Workbench) -> Path:
    bench.expect(ramp_hu())
    return recoded(bench, uid, lambda stored: HTJ2K.read_bytes())


add("HTJ2K Lossless", read())(partial(_htj2k, "1.2.840.10008.1.2.4.201"))
add("HTJ2K Lossless RPCL", read())(partial(_htj2k, "1.2.840.10008.1.2.4.202"))
add("HTJ2K, reversible", read("lossy"))(partial(_htj2k, "1.2.840.10008.1.2.4.203"))


def _renamed(uid: str, bench: Workbench) -> Path:
    return bench.plain(syntax_edit(uid))


for _uid, _name in REFUSED.items():
    add(_name, Refused("unsupported_syntax"))(partial(_renamed, _uid))
add("a private syntax", Refused("unsupported_syntax"))(partial(_renamed, "1.2.3.4.5.6.7"))
add("a syntax in markup", Refused("unsupported_syntax"))(partial(_renamed, "<b>Canary</b>"))
add("implicit announced, explicit written", read())(partial(_renamed, "1.2.840.10008.1.2"))
add("JPEG 2000 announced, no code stream", Refused("bad_pixels"))(
    partial(_renamed, "1.2.840.10008.1.2.4.90")
)
add("big endian announced, little written", Refused("truncated"))(
    partial(_renamed, "1.2.840.10008.1.2.2")
)


@add("no transfer syntax in the meta header", read())
def _(bench: Workbench) -> Path:
    def edit(data: bytes) -> bytes:
        element = b"\x02\x00\x10\x00UI\x14\x00" + b"1.2.840.10008.1.2.1\0"
        assert element in data
        return data.replace(element, b"", 1)

    return bench.plain(edit)
