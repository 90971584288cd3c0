"""NIfTI whose header or packing says one thing and whose bytes say another."""

from __future__ import annotations

import gzip
import struct
import time
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cspine_zoo.errors import StudyRejected


def image_of(hu, affine, unit: str = "mm") -> nib.Nifti1Image:
    image = nib.Nifti1Image(hu, affine)
    image.header.set_xyzt_units(unit)
    return image


@pytest.fixture
def put(tmp_path: Path):
    """Write bytes, or an image, to a file."""

    def write(content, name: str = "scan") -> Path:
        data = content if isinstance(content, bytes) else content.to_bytes()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture
def code(put, read_here):
    """The code that a file is refused with."""

    def refused(content) -> str:
        with pytest.raises(StudyRejected) as caught:
            read_here(put(content))
        return caught.value.code

    return refused


def flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0xFF
    return bytes(changed)


def test_gzip_is_read_to_its_checksum(body, put, code, read_here):
    """nibabel reads all of these without a word."""
    data = image_of(*body).to_bytes()
    good = gzip.compress(data, 1)
    np.testing.assert_array_equal(read_here(put(good)).hu, body[0])
    assert code(flip(good, -5)) == "truncated"  # CRC
    assert code(flip(good, -1)) == "truncated"  # length
    assert code(good[:-4]) == "truncated"
    assert code(good[:-8]) == "truncated"
    stored = gzip.compress(data, 0)
    assert code(flip(stored, len(stored) // 2)) == "truncated"  # a voxel


def test_gzip_of_several_members_and_with_padding(body, put, read_here):
    """Both are what gzip itself reads: members one after the other, zeros to fill a block."""
    data = image_of(*body).to_bytes()
    parts = gzip.compress(data[:9000], 1) + gzip.compress(data[9000:], 1)
    np.testing.assert_array_equal(read_here(put(parts)).hu, body[0])
    np.testing.assert_array_equal(read_here(put(gzip.compress(data, 1) + bytes(512))).hu, body[0])


def test_gzip_that_goes_on_after_the_last_voxel(body, put, code, read_here):
    data = image_of(*body).to_bytes()
    np.testing.assert_array_equal(read_here(put(gzip.compress(data + b"more"))).hu, body[0])
    assert code(gzip.compress(data + bytes(64 << 20), 1)) == "bad_nifti"


def claiming(data: bytes, shape: tuple[int, int, int]) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<3h", changed, 42, *shape)
    return bytes(changed)


def test_sizes_are_compared_before_memory_is_taken(body, code):
    data = claiming(image_of(*body).to_bytes(), (1000, 1000, 1000))
    start = time.perf_counter()
    assert code(data) == "truncated"
    assert code(gzip.compress(data)) == "zip_bomb"
    assert time.perf_counter() - start < 2


def test_gzip_bomb_with_a_true_header(body, code):
    """128 MiB of zeros in 600 kB."""
    head = claiming(image_of(*body).to_bytes()[:352], (512, 512, 256))
    engine = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [engine.compress(head), *(engine.compress(bytes(1 << 24)) for _ in range(8))]
    assert code(b"".join([*parts, engine.flush()])) == "zip_bomb"


@pytest.mark.parametrize(
    "values",
    [
        lambda hu: (hu - hu.min()) / np.ptp(hu),
        lambda hu: ((hu - hu.min()) / np.ptp(hu) * 255).astype(np.uint8),
        lambda hu: (hu > 500).astype(np.int16) * 3,
        lambda hu: np.maximum(hu, -150),
        lambda hu: (hu + 1024).astype(np.uint16),
        lambda hu: hu.astype(np.float32) * 1e20,
        lambda hu: hu.astype(np.float64) * 1e80,
    ],
    ids=["0..1", "0..255", "labels", "> -200", "stored values", "1e20", "overflow"],
)
def test_values_that_are_not_hu(values, body, code):
    assert code(image_of(values(body[0]).astype(np.asarray(values(body[0])).dtype), body[1])) == (
        "not_hu"
    )


@pytest.mark.parametrize(("slope", "intercept"), [(1e30, 0), (1e-20, 0), (1, 1e9)])
def test_scales_that_give_no_hu(slope, intercept, body, code):
    image = image_of(*body)
    image.header.set_slope_inter(slope, intercept)
    assert code(image) == "not_hu"


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_no_scale(slope, body, put, read_here):
    data = bytearray(image_of(*body).to_bytes())
    struct.pack_into("<2f", data, 112, slope, 700.0)
    np.testing.assert_array_equal(read_here(put(bytes(data))).hu, body[0])


@pytest.mark.parametrize(("unit", "per_mm"), [("meter", 1e-3), ("micron", 1e3)])
def test_units_are_converted(unit, per_mm, body, put, read_here):
    hu, affine = body
    scale = np.diag([per_mm, per_mm, per_mm, 1.0])
    ct = read_here(put(image_of(hu, scale @ affine, unit)))
    np.testing.assert_allclose(ct.geometry.affine, affine, atol=1e-3)
    assert [notice.code for notice in ct.report.warnings] == ["unit_assumed"]


@pytest.mark.parametrize(
    "change",
    [
        lambda affine: np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ affine,
        lambda affine: affine @ np.diag([1.0, 1.0, 0.0, 1.0]),
        lambda affine: affine @ np.diag([30.0, 30.0, 30.0, 1.0]),
        lambda affine: affine + np.eye(4, k=3) * 1e7,
        lambda affine: affine @ [[1, 0, 0, 0], [0, 1, 0.36, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ],
    ids=["metres as mm", "singular", "30 mm", "away", "tilted gantry"],
)
def test_affines_of_no_scan(change, body, code):
    image = image_of(*body)
    image.set_qform(None, 0)
    data = bytearray(image.to_bytes())
    struct.pack_into("<12f", data, 280, *change(body[1])[:3].ravel())
    assert code(bytes(data)) == "bad_geometry"


def test_quaternion_longer_than_one(body, put, read_here):
    """Rounded to a unit quaternion and a bit; the voxels' size must not follow."""
    image = image_of(body[0], np.diag([-1.5, -1.5, 3.0, 1.0]))
    image.set_qform(image.affine, 1)
    image.set_sform(None, 0)
    data = bytearray(image.to_bytes())
    b, c, d = np.array(struct.unpack_from("<3f", data, 256)) * 1.001
    struct.pack_into("<3f", data, 256, b, c, d)
    ct = read_here(put(bytes(data)))
    np.testing.assert_allclose(sorted(ct.geometry.spacing_mm), [1.5, 1.5, 3.0], rtol=1e-5)


def test_qform_that_is_no_number_loses_against_sform(body, put, read_here):
    image = image_of(*body)
    image.set_qform(body[1], 1)
    image.set_sform(body[1], 1)
    data = bytearray(image.to_bytes())
    struct.pack_into("<3f", data, 256, np.nan, 0, 0)
    ct = read_here(put(bytes(data)))
    np.testing.assert_allclose(ct.geometry.affine, body[1], atol=1e-5)
    assert [notice.code for notice in ct.report.warnings] == ["affines_differ"]
