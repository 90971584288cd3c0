"""One NIfTI file to HU in RAS order, without trusting its header.

References:
    NIfTI-1 and NIfTI-2 header definitions (nifti1.h, nifti2.h), https://nifti.nimh.nih.gov
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.canvas import MAX_VOXELS, Canvas
from cspine_zoo.ct.codes import Problem
from cspine_zoo.ct.elements import Buffer
from cspine_zoo.ct.frames import MAX_FRAMES
from cspine_zoo.ct.grid import FARTHEST_MM, STEP_MM, check_size
from cspine_zoo.ct.rescale import AIR_HU, Rescale
from cspine_zoo.ct.volume import Notice
from cspine_zoo.ct.voxels import Kind, Voxels

_TYPES: Final = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_MM_PER_UNIT: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Of the spatial part of xyzt_units; unknown counts as mm, as everybody writes it."""

_CHUNK: Final = 1 << 16

MAX_TRAILING: Final = 1 << 20
"""Most bytes after the last voxel of a gzip stream, which is inflated for its checksum."""

MAX_GZIP_RATIO: Final = 100
RATIO_FROM: Final = 32 << 20
"""A gzip stream may hold this many times its size, judged from this many bytes on; CT has 2-4."""

MAX_SCALE: Final = (1e-6, 1e3)
"""Range of the absolute slope; HU stored as integers need 1, as normalised floats some 1,000."""

MAX_HU: Final = 1e5
"""Highest value of a CT, and largest offset: steel is at 30,000 HU where 16 bits do not end."""

MAX_NOT_FINITE: Final = 0.001
"""Share of NaN or infinite voxels that is taken for padding."""

HIGHEST_MINIMUM_HU: Final = -200.0
"""Every CT holds air: a volume whose lowest value is above this was normalised or masked."""

MAX_SHEAR: Final = 0.01
"""Largest cosine between two axes, 0.6 degrees; a gantry tilt that was left in is more."""

AFFINE_TOLERANCE_MM: Final = 0.5
"""Distance of a corner from which qform and sform count as different."""


@dataclass(frozen=True, eq=False)
class _Header:
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    rescale: Rescale
    affine: NDArray[np.float64]
    notices: tuple[Notice, ...]


class _Stream:
    """Bytes of a file or of its gzip content, on demand and never more than asked for."""

    def __init__(self, data: Buffer, zipped: bool) -> None:
        self._data = memoryview(data)
        self._position = 0
        self._engine = zlib.decompressobj(zlib.MAX_WBITS | 16) if zipped else None

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes.

        Raises:
            Problem: there are fewer, or the gzip stream is damaged.
        """
        parts: list[bytes] = []
        wanted = count
        while wanted:
            piece = self._plain(wanted) if self._engine is None else self._inflated(wanted)
            if piece is None:
                raise Problem("truncated", "the file ends before its last voxel")
            parts.append(piece)
            wanted -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def check_size(self, count: int) -> None:
        """Refuse, before any memory is set aside, what cannot hold ``count`` more bytes.

        Raises:
            Problem: the file is too short, or a gzip stream would unpack to implausibly much.
        """
        size = len(self._data)
        if self._engine is None and count > size - self._position:
            raise Problem("truncated", f"{size} bytes, where {count} of voxels are announced")
        if self._engine is not None and count > max(RATIO_FROM, MAX_GZIP_RATIO * size):
            reason = f"{count} bytes of voxels are announced in {size} bytes of gzip"
            raise Problem("zip_bomb", reason)

    def finish(self) -> None:
        """Inflate what follows the last voxel, so that the checksum is compared.

        Raises:
            Problem: the gzip stream is damaged, cut off, or goes on and on.
        """
        left = MAX_TRAILING
        while self._engine is not None:
            piece = self._inflated(left)
            if piece is None:
                if not self._engine.eof:
                    raise Problem("truncated", "the gzip stream ends before its checksum")
                return
            left -= len(piece)
            if left <= 0:
                raise Problem("bad_nifti", "the file goes on after its last voxel")

    def _plain(self, count: int) -> bytes | None:
        piece = bytes(self._data[self._position : self._position + count])
        self._position += count
        return piece or None

    def _inflated(self, wanted: int) -> bytes | None:
        """Some bytes, perhaps none yet; None at the end."""
        engine = self._engine
        if engine is None:
            return None
        if engine.eof:
            # Members may follow each other; the position is moved back to where this one ended.
            self._position -= len(engine.unused_data)
            if bytes(self._data[self._position : self._position + 2]) != b"\x1f\x8b":
                return None
            engine = self._engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
        # Small pieces: the engine copies what it has not used at every call.
        piece: Buffer = engine.unconsumed_tail
        if not piece:
            piece = self._data[self._position : self._position + _CHUNK]
            self._position += len(piece)
        try:
            data = engine.decompress(piece, wanted)
        except zlib.error:
            raise Problem("truncated", "the gzip stream is damaged") from None
        return data if data or piece else None


def read_nifti(data: Buffer, zipped: bool, voxels: Voxels) -> tuple[Canvas, list[Notice]]:
    """HU of one NIfTI volume, converted slab by slab as it is inflated.

    Args:
        data: the file.
        zipped: whether it is gzip.
        voxels: where they go.

    Raises:
        Problem: the file is not one 3D volume of HU with a known orientation.
    """
    try:
        return _read(_Stream(data, zipped), voxels, np.int16)
    except OverflowError:
        return _read(_Stream(data, zipped), voxels, np.float32)


def _read(stream: _Stream, voxels: Voxels, whole: Kind) -> tuple[Canvas, list[Notice]]:
    """A volume; ``whole`` is the kind of number that whole HU are held as.

    Raises:
        OverflowError: HU are too high for that kind.
        Problem: as for ``read_nifti``.
    """
    header = _read_header(stream)
    columns, rows, slices = header.shape
    size = columns * rows * header.dtype.itemsize
    stream.check_size(size * slices)
    rescale = header.rescale
    kind = whole if rescale.whole else np.float32
    canvas = Canvas.allocate(header.shape, header.affine, voxels, kind)
    broken, lowest, highest = 0, np.inf, -np.inf
    for k in range(slices):
        stored = np.frombuffer(stream.read(size), header.dtype).reshape(rows, columns)
        if header.dtype.kind == "f":
            finite = np.isfinite(stored)
            if not finite.all():
                broken += finite.size - int(np.count_nonzero(finite))
                stored = np.where(finite, stored, (AIR_HU - rescale.intercept) / rescale.slope)
        with canvas.slice(k) as out:
            with np.errstate(over="ignore"):  # what overflows is above MAX_HU
                rescale.write(out, stored)
            lowest, highest = min(lowest, float(out.min())), max(highest, float(out.max()))
    stream.finish()
    notices = list(header.notices)
    if broken > MAX_NOT_FINITE * columns * rows * slices:
        raise Problem("not_hu", f"{broken} voxels are NaN or infinite")
    if broken:
        notices.append(Notice("not_finite", f"{broken} NaN or infinite voxels were set to air"))
    if highest > MAX_HU:
        raise Problem("not_hu", f"the highest value is {highest:g}")
    if lowest > HIGHEST_MINIMUM_HU:
        raise Problem("not_hu", f"the lowest value is {lowest:g}; CT in HU holds air below -900")
    return canvas, notices


def _read_header(stream: _Stream) -> _Header:
    start = stream.read(348)
    order = next((o for o in "<>" if struct.unpack_from(o + "i", start)[0] in (348, 540)), "")
    if not order:
        raise Problem("bad_nifti", "not a NIfTI header")
    if struct.unpack_from(order + "i", start)[0] == 540:
        return _nifti2(start + stream.read(540 - 348), order, stream)
    if start[344:348] != b"n+1\0":
        raise Problem("nifti_pair", "an Analyze or NIfTI header without its voxels in one file")
    dims = struct.unpack_from(order + "8h", start, 40)
    (datatype,) = struct.unpack_from(order + "h", start, 70)
    pixdim = struct.unpack_from(order + "8f", start, 76)
    offset, slope, intercept = struct.unpack_from(order + "3f", start, 108)
    codes = struct.unpack_from(order + "2h", start, 252)
    quaternion = struct.unpack_from(order + "6f", start, 256)
    rows = struct.unpack_from(order + "12f", start, 280)
    placed = _Placing(codes, pixdim, quaternion, rows, start[123])
    return _checked(stream, order, 348, (dims, datatype, offset, slope, intercept), placed)


def _nifti2(start: bytes, order: str, stream: _Stream) -> _Header:
    if start[4:8] != b"n+2\0":
        raise Problem("nifti_pair", "a NIfTI-2 header without its voxels in one file")
    (datatype,) = struct.unpack_from(order + "h", start, 12)
    dims = struct.unpack_from(order + "8q", start, 16)
    pixdim = struct.unpack_from(order + "8d", start, 104)
    (offset,) = struct.unpack_from(order + "q", start, 168)
    slope, intercept = struct.unpack_from(order + "2d", start, 176)
    codes = struct.unpack_from(order + "2i", start, 344)
    quaternion = struct.unpack_from(order + "6d", start, 352)
    rows = struct.unpack_from(order + "12d", start, 400)
    (units,) = struct.unpack_from(order + "i", start, 500)
    placed = _Placing(codes, pixdim, quaternion, rows, units)
    return _checked(stream, order, 540, (dims, datatype, offset, slope, intercept), placed)


@dataclass(frozen=True)
class _Placing:
    """The fields of a header that say where voxels lie."""

    codes: tuple[int, ...]
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    rows: tuple[float, ...]
    units: int

    def affine(self) -> tuple[NDArray[np.float64], list[Notice]]:
        """Voxel to RAS+ mm; sform goes before qform."""
        qform = self._qform() if self.codes[0] > 0 else None
        sform = None
        if self.codes[1] > 0:
            sform = np.vstack([np.reshape(self.rows, (3, 4)), [0, 0, 0, 1]]).astype(np.float64)
        affine = sform if sform is not None else qform
        if affine is None:
            raise Problem("orientation_unknown", "neither qform nor sform is set")
        notices = []
        if sform is not None and qform is not None:
            # Compared over a field of view of 512 voxels.
            corner = (sform - qform) @ [512, 512, 512, 1]
            if not np.abs(corner).max() <= AFFINE_TOLERANCE_MM:
                notices.append(Notice("affines_differ", "qform and sform differ; sform was used"))
        scale = _MM_PER_UNIT.get(self.units & 7, 1.0)
        if scale != 1:
            notices.append(Notice("unit_assumed", "coordinates were converted to mm"))
        return np.diag([scale, scale, scale, 1.0]) @ affine, notices

    def _qform(self) -> NDArray[np.float64]:
        b, c, d = self.quaternion[:3]
        # Rounding can make the three longer than a unit quaternion, which is what they belong to.
        length = math.hypot(b, c, d)
        if length > 1:
            b, c, d = b / length, c / length, d / length
        a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        handedness = -1.0 if self.pixdim[0] < 0 else 1.0
        matrix = np.eye(4)
        matrix[:3, :3] = rotation * np.array([*self.pixdim[1:3], handedness * self.pixdim[3]])
        matrix[:3, 3] = self.quaternion[3:]
        return matrix


_Layout = tuple[tuple[int, ...], int, float, float, float]


def _checked(stream: _Stream, order: str, taken: int, layout: _Layout, placed: _Placing) -> _Header:
    """Validate a header, and move ``stream`` from ``taken`` to the first voxel."""
    dims, datatype, offset, slope, intercept = layout
    if not 3 <= dims[0] <= 7 or any(n != 1 for n in dims[4 : dims[0] + 1]):
        raise Problem("not_3d", f"{dims[0]} dimensions; one 3D volume is needed")
    if datatype not in _TYPES:
        raise Problem("not_3d", f"data type {datatype} is not one number a voxel")
    shape = (int(dims[1]), int(dims[2]), int(dims[3]))
    if min(shape) < 1 or shape[0] * shape[1] * shape[2] > MAX_VOXELS:
        raise Problem("too_large", f"{shape[0]} x {shape[1]} x {shape[2]} voxels are not possible")
    if max(shape) > 2 * MAX_FRAMES:
        raise Problem("too_many_slices", f"{max(shape)} voxels along one axis")
    if not taken <= offset <= 1 << 20:
        raise Problem("bad_nifti", "the header gives no valid start of the voxels")
    affine, notices = placed.affine()
    check_size(shape, _spacing(affine))
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        slope, intercept = 1.0, 0.0  # the standard's way to say "not scaled"
    if not MAX_SCALE[0] <= abs(slope) <= MAX_SCALE[1] or abs(intercept) > MAX_HU:
        raise Problem("not_hu", f"slope {slope:g} and intercept {intercept:g} give no HU")
    stream.read(int(offset) - taken)
    dtype = np.dtype(order + _TYPES[datatype])
    bits = 0 if dtype.kind == "f" else dtype.itemsize * 8
    rescale = Rescale(float(slope), float(intercept), bits, dtype.kind == "i")
    return _Header(shape, dtype, rescale, affine, tuple(notices))


def _spacing(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between voxels along each axis.

    Raises:
        Problem: the affine is not that of an orthogonal grid in mm.
    """
    if not np.isfinite(affine).all() or np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        raise Problem("bad_geometry", "the affine is not finite, or leads 100 m away")
    spacing: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = STEP_MM
    if not low <= spacing.min() <= spacing.max() <= high:
        raise Problem("bad_geometry", f"voxels of {' x '.join(f'{mm:g}' for mm in spacing)} mm")
    axes = affine[:3, :3] / spacing
    if np.abs(axes.T @ axes - np.eye(3)).max() > MAX_SHEAR:
        raise Problem("bad_geometry", "the axes are not at right angles (a tilted gantry?)")
    return spacing
