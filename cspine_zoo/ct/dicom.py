"""One DICOM file from bytes: what it is, and the CT frames in it, still encoded."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from cspine_zoo.ct import tags
from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.elements import (
    EXPLICIT,
    IMPLICIT,
    KNOWN_VRS,
    Buffer,
    DataSet,
    Encoding,
    Walk,
)
from cspine_zoo.ct.frames import Frame, read_frames
from cspine_zoo.ct.syntaxes import Syntax, find

MAX_INFLATED: Final = 256 << 20
"""Most bytes of a deflated data set; a public file of 389 kB inflates to 811 MB."""

_PIECE = 16 << 20

CT_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
"""CT, Enhanced CT, Legacy Converted Enhanced CT Image Storage (PS3.4 annex B.5)."""

_SYNTAX, _STORAGE = 0x0010, 0x0002  # elements of group 2
_META: Final = struct.Struct("<HH2sH")
_LONG_META: Final = (b"OB", b"UN", b"OW", b"UT")
_DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_CAPTURE_CLASSES = "1.2.840.10008.5.1.4.1.1.7"

_IMAGES = "BI CR CT DG DX ES GM IO IVOCT IVUS LS MG MR NM OCT OP OPT PT PX RF RG SM TG US XA XC"
_OTHERS = (
    "ANN AU DOC ECG HD KO M3D OT PLAN PR REG RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT SEG SR STAIN"
)
IMAGE_MODALITIES: Final = frozenset(_IMAGES.split(" "))
OTHER_OBJECTS: Final = frozenset(_OTHERS.split(" "))
_MODALITIES: Final = IMAGE_MODALITIES | OTHER_OBJECTS
"""Modalities that may be named (PS3.3 C.7.3.1.1.1); any other text in the tag is not shown."""

_PROJECTIONS = frozenset(
    ("MIP", "MINIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE", "VOLUME_RENDER", "VRT", "SSD", "3D")
)


@dataclass(frozen=True, slots=True)
class DicomFile:
    """What one file is, and its frames if they can be part of a CT volume.

    Patient and study are digests, good for comparison only.

    Attributes:
        file: name, as the caller knows it.
        modality: as the standard abbreviates it; empty if it is missing or unknown.
        frames: empty where ``problem`` says why.
        traits: ``"original"``, ``"derived"``, ``"bone"``, ``"lossy"``, ``"monochrome1"``.
    """

    file: str
    modality: str
    patient: str
    study: str
    series_uid: str
    series_number: int
    acquisition: str
    instance: str
    traits: frozenset[str]
    frames: tuple[Frame, ...] = ()
    problem: Problem | None = None


def parse(file: str, data: Buffer) -> DicomFile:
    """Parse the header of one DICOM file; pixels stay encoded views into ``data``.

    A pure function of its arguments: it opens, logs and remembers nothing.

    Raises:
        Problem: not even the header can be read.
    """
    meta_uid, storage, start = _file_meta(data)
    syntax = find(meta_uid) if meta_uid else None
    if syntax is not None and syntax.deflated:
        data, start = _inflate(memoryview(data)[start:]), 0
    encoding = _encoding(data, start, syntax)
    dataset = DataSet(encoding)
    if storage == _DICOMDIR_CLASS:
        return _describe(file, dataset, Problem("dicomdir", "an index of files, not an image"))
    try:
        Walk(data, tags.KEYWORDS).read(start, dataset)
    except Problem as problem:
        if tags.text(dataset, "Modality") in ("", "CT"):
            raise
        return _describe(file, dataset, problem)
    syntax = syntax or find(
        "1.2.840.10008.1.2" + ("" if not encoding.explicit else ".1" if encoding.little else ".2")
    )
    try:
        _usable(dataset)
        frames = read_frames(file, data, dataset, syntax)
    except Problem as problem:
        return _describe(file, dataset, problem)
    return _describe(file, dataset, None, frames, syntax)


def _file_meta(data: Buffer) -> tuple[str, str, int]:
    """Transfer Syntax and storage class (empty if not said) and where the data set starts."""
    position = 132 if bytes(data[128:132]) == b"DICM" else 0
    uids = {_SYNTAX: "", _STORAGE: ""}
    # The group length is often wrong, so the group is left where another one begins.
    while position + 8 <= len(data):
        group, element, vr, length = _META.unpack_from(data, position)
        if group != 2:
            break
        position += 8
        if vr in _LONG_META:
            if position + 4 > len(data):
                break
            (length,) = struct.unpack_from("<I", data, position)
            position += 4
        if element in uids:
            value = bytes(data[position : position + min(length, 64)])
            uids[element] = value.decode("latin-1").strip(" \0")
        position += length
    if position + 8 > len(data):
        raise Problem("truncated", "the file ends before its data set")
    return uids[_SYNTAX], uids[_STORAGE], position


def _inflate(stream: memoryview) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    packed: Buffer = stream
    try:  # in pieces: one buffer that grows is copied, and twice as large while it is
        while packed and not engine.eof:
            parts.append(engine.decompress(packed, _PIECE))
            packed = engine.unconsumed_tail
            if len(parts) * _PIECE > MAX_INFLATED:
                raise Problem("too_large", "the deflated data set inflates to more than 256 MiB")
    except zlib.error:
        raise Problem("bad_pixels", "the deflated data set is damaged") from None
    return b"".join(parts)


def _encoding(data: Buffer, start: int, syntax: Syntax | None) -> Encoding:
    """How the data set is really written; some writers say one and do the other."""
    little = bytes(data[start : start + 1]) != b"\0" if syntax is None else syntax.encoding.little
    explicit = bytes(data[start + 4 : start + 6]) in KNOWN_VRS
    if not little:
        return Encoding(explicit=True, little=False)
    return EXPLICIT if explicit else IMPLICIT


def _usable(dataset: DataSet) -> None:
    """Raise the reason why a file cannot be a slice of a CT volume, if there is one."""
    storage = tags.text(dataset, "SOPClassUID")
    modality = tags.text(dataset, "Modality")
    if storage.startswith(_CAPTURE_CLASSES):
        raise Problem("secondary_capture", "a picture (secondary capture), not CT data")
    if modality in OTHER_OBJECTS or (modality and not dataset.pixel_tag and modality != "CT"):
        shown = modality if modality in _MODALITIES else "DICOM"
        raise Problem("not_image", f"a {shown} object, not an image")
    if modality not in ("", "CT"):
        shown = modality if modality in IMAGE_MODALITIES else "unknown"
        raise Problem("not_ct", f"modality {shown}, not CT")
    samples = tags.word(dataset, "SamplesPerPixel", 1)
    colour = tags.text(dataset, "PhotometricInterpretation") not in (
        ("", "MONOCHROME1", "MONOCHROME2")
    )
    if samples != 1 or colour:
        raise Problem("secondary_capture", "a picture in colour, not CT data")
    if storage and storage not in CT_CLASSES:
        # Cone beam CT and angiography come with modality CT, but hold no HU.
        code = "not_ct" if dataset.pixel_tag else "not_image"
        raise Problem(code, "not of a storage class for CT images")
    if not modality and not storage:
        raise tags.missing("Modality")
    kinds = set(tags.texts(dataset, "ImageType"))
    if "LOCALIZER" in kinds:
        raise Problem("localizer", "a localizer (scout), not a slice")
    if kinds & _PROJECTIONS:
        raise Problem("projection", "a projection or rendering, not a slice")


def _describe(
    file: str,
    dataset: DataSet,
    problem: Problem | None,
    frames: tuple[Frame, ...] = (),
    syntax: Syntax | None = None,
) -> DicomFile:
    modality = tags.text(dataset, "Modality")
    if not modality and tags.text(dataset, "SOPClassUID") in CT_CLASSES:
        modality = "CT"
    number = tags.text(dataset, "SeriesNumber")
    return DicomFile(
        file,
        modality if modality in _MODALITIES else "",
        _digest(tags.identifier(dataset, "PatientID") or tags.identifier(dataset, "PatientName")),
        _digest(tags.identifier(dataset, "StudyInstanceUID")),
        tags.text(dataset, "SeriesInstanceUID"),
        int(number) if number.isascii() and number.isdigit() else 0,
        tags.text(dataset, "AcquisitionNumber"),
        tags.text(dataset, "SOPInstanceUID"),
        frozenset(_traits(dataset, syntax)),
        frames,
        problem,
    )


def _traits(dataset: DataSet, syntax: Syntax | None) -> list[str]:
    kinds = tags.texts(dataset, "ImageType")
    traits = ["original"] if kinds[:2] == ("ORIGINAL", "PRIMARY") else []
    if {"MPR", "REFORMATTED", "DERIVED"} & set(kinds):
        traits.append("derived")
    # Siemens writes B60f or Br64, GE BONE, Philips YB or D: only the clear ones are taken.
    kernel = tags.text(dataset, "ConvolutionKernel").upper()
    if "BONE" in kernel or kernel[:2] in ("B6", "B7") or kernel[:3] in ("BR6", "BR7"):
        traits.append("bone")
    if tags.text(dataset, "LossyImageCompression") == "01" or (syntax and syntax.lossy):
        traits.append("lossy")
    if tags.text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        traits.append("monochrome1")
    return traits


def _digest(value: bytes) -> str:
    return hashlib.blake2s(value, digest_size=16).hexdigest() if value else ""
