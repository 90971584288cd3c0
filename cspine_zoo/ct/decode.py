"""From encoded pixels to stored values: one thin adapter a codec, one contract for all.

An adapter takes the code stream of one frame and returns its samples, rows x columns, as they
are written, before signs and unused bits are settled. What the code stream itself says about its
size is compared with the header before any codec sees it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from io import BytesIO
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.codestream import Codestream, read_codestream
from cspine_zoo.ct.frames import Frame, PixelFormat

Samples = NDArray[np.integer[Any]]


def decode(frame: Frame) -> Samples:
    """Stored values of one frame, rows x columns, signed as the header says.

    Padding is not marked here; see ``padding_mask``.

    Raises:
        Problem: the pixels cannot be decoded, or not to the size that the header gives.
    """
    form = frame.format
    if not form.syntax.decoders:
        return _uncompressed(frame.pixels[0], form)
    data = b"".join(frame.pixels)
    stream = read_codestream(data, form.syntax.decoders[0])
    if stream is not None and (stream.rows, stream.columns) != (form.rows, form.columns):
        raise Problem(
            "bad_pixels",
            f"the code stream holds {stream.columns} x {stream.rows} pixels, "
            f"the header says {form.columns} x {form.rows}",
        )
    if stream is not None and stream.components != 1:
        raise Problem("unsupported_pixels", "the code stream is in colour")
    for name in form.syntax.decoders:
        samples = _attempt(name, stream.data if stream else data, form, stream)
        if samples is not None:
            bits = min(stream.precision, form.bits_stored) if stream else form.bits_stored
            return _settle(samples, bits, form.signed)
    raise Problem("bad_pixels", f"damaged pixels ({form.syntax.name})")


def padding_mask(samples: Samples, form: PixelFormat) -> NDArray[np.bool_] | None:
    """Where stored values mean "no image here"; None if nothing does."""
    if form.padding is None:
        return None
    low, high = form.padding
    mask = samples == low if low == high else (samples >= low) & (samples <= high)
    return mask if mask.any() else None


def _uncompressed(data: Any, form: PixelFormat) -> Samples:
    order = "<" if form.little else ">"
    words = np.frombuffer(data, f"{order}u{form.bits_allocated // 8}")
    words = words[: form.rows * form.columns].reshape(form.rows, form.columns)
    if not form.little:
        words = words.astype(words.dtype.newbyteorder("="))
    shift = form.high_bit - form.bits_stored + 1
    if shift:
        words = words >> words.dtype.type(shift)
    return _settle(words, form.bits_stored, form.signed, keep=_raw_padding(form, shift))


def _raw_padding(form: PixelFormat, shift: int) -> int | None:
    """Padding that does not fit into the bits stored is written over all bits allocated."""
    if form.padding is None or shift or form.bits_stored == form.bits_allocated:
        return None
    low, high = form.padding
    bits = form.bits_stored - form.signed
    fits = -(1 << bits) * form.signed <= low < 1 << bits
    return None if fits or low != high else low & ((1 << form.bits_allocated) - 1)


def _settle(samples: Samples, bits: int, signed: bool, keep: int | None = None) -> Samples:
    """Drop what stands above ``bits`` and extend the sign; ``keep`` is a word left as it is.

    The header decides on the sign, whatever the code stream says (PS3.5 section 8.2.4): some
    JPEG 2000 encoders write signed values as unsigned ones of the same bits.
    """
    width = samples.dtype.itemsize * 8
    kind = np.dtype(f"{'i' if signed else 'u'}{width // 8}")
    values: Samples = samples.view(kind)
    if bits >= width:
        return values
    if signed:
        spare = kind.type(width - bits)
        settled: Samples = (values << spare) >> spare
    else:
        settled = values & kind.type((1 << bits) - 1)
    if keep is not None:
        padded = samples == samples.dtype.type(keep)
        settled[padded] = values[padded]
    return settled


def _attempt(
    name: str, data: bytes, form: PixelFormat, stream: Codestream | None
) -> Samples | None:
    """One codec's result, or None where it fails."""
    try:
        buffer = _ADAPTERS[name](data, form, stream)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (codecs raise anything, Pillow even SyntaxError)
        return None
    count = form.rows * form.columns
    for width in (1, 2, 4):
        if len(buffer) == count * width:
            return np.frombuffer(buffer, f"<u{width}").reshape(form.rows, form.columns)
    return None


def _rle(data: bytes, form: PixelFormat, stream: Codestream | None) -> Any:
    # PackBits at its best turns 2 bytes into 128: what claims more is refused before decoding.
    if form.frame_bytes > 64 * len(data):
        raise ValueError("too short for its size")
    decoder = importlib.import_module("pydicom.pixels").get_decoder(form.syntax.uid)
    encapsulated = importlib.import_module("pydicom.encaps").encapsulate([data], has_bot=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # padding after the segments, which many writers leave
        return decoder.as_buffer(
            encapsulated,
            rows=form.rows,
            columns=form.columns,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=form.bits_allocated,
            bits_stored=form.bits_allocated,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            pixel_keyword="PixelData",
            decoding_plugin="pydicom",
        )[0]


def _pillow(data: bytes, form: PixelFormat, stream: Codestream | None) -> Any:
    image = importlib.import_module("PIL.Image").open(BytesIO(data), formats=("JPEG",))
    if image.mode != "L" or image.size != (form.columns, form.rows):
        raise ValueError("not the grey image that the header announces")
    return image.tobytes()


def _pyjpegls(data: bytes, form: PixelFormat, stream: Codestream | None) -> Any:
    return importlib.import_module("jpeg_ls").decode_pixel_data(data)[0]


def _openjpeg(data: bytes, form: PixelFormat, stream: Codestream | None) -> Any:
    return importlib.import_module("openjpeg").decode_pixel_data(data, version=2)


@cache
def _quiet_gdcm() -> ModuleType:
    gdcm = importlib.import_module("gdcm")
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    return gdcm


def _gdcm(data: bytes, form: PixelFormat, stream: Codestream | None) -> Any:
    gdcm = _quiet_gdcm()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((form.columns, form.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    kind = gdcm.TransferSyntax.GetTSType(form.syntax.uid)
    image.SetTransferSyntax(gdcm.TransferSyntax(kind))
    bits = stream.precision if stream else form.bits_stored
    allocated = 8 if bits <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, bits, bits - 1, int(form.signed)))
    # The binding hands out bytes as str, undecodable ones as surrogates.
    return image.GetBuffer().encode("utf-8", "surrogateescape")


_ADAPTERS: Final[dict[str, Callable[[bytes, PixelFormat, Codestream | None], Any]]] = {
    "rle": _rle,
    "pillow": _pillow,
    "pyjpegls": _pyjpegls,
    "openjpeg": _openjpeg,
    "gdcm": _gdcm,
}
