"""What cannot be read rightly is refused by code; nothing but the package's errors escapes."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cspine_zoo.ct.codes import RULINGS
from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import StudyRejected, UsageError
from tests.ct.dicom_writer import Study, acquire


def refused(source, **options) -> StudyRejected:
    with pytest.raises(StudyRejected) as info:
        read_ct(source, **options)
    error = info.value
    assert error.code in RULINGS
    assert error.reason
    assert "canary" not in str(error).lower()
    return error


def skipped(ct) -> dict[str, str]:
    return {file.file: file.code for file in ct.report.skipped}


def copy(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target, dirs_exist_ok=True)
    return target


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_dicom"),
        (b"%PDF-1.4 nothing", "no_dicom"),
        (b"PK\x03\x04 and then nothing that belongs to a zip", "bad_zip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(40), "not_a_zip"),
        (b"Rar!\x1a\x07" + bytes(40), "not_a_zip"),
        (bytes(128) + b"DICM", "truncated"),
        (bytes(128) + b"DICM" + bytes(range(256)) * 4, "truncated"),
        (b"\x1f\x8b" + bytes(100), "truncated"),
        (gzip.compress(b"not a volume" * 100, mtime=0), "bad_nifti"),
    ],
    ids=["empty", "pdf", "zip", "7z", "rar", "dicom-end", "dicom-noise", "gzip-end", "gzip"],
)
def test_single_files(content, code, tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(content)
    assert refused(path).code == code


def test_source_itself(tmp_path):
    assert refused(tmp_path).code == "no_dicom"
    assert refused(tmp_path / "missing").code == "not_found"
    assert refused("a\0b").code == "not_found"
    assert refused([]).code == "no_dicom"
    for wrong in (7, [7], None):
        with pytest.raises(UsageError):
            read_ct(wrong)


def test_no_dicom_says_what_was_found(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-")
    (tmp_path / "\x1b[31mb").write_bytes(b"hello")
    error = refused(tmp_path)
    assert "1 x PDF" in error.reason
    assert error.hint
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(
    ("tags", "code", "word"),
    [
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "not_ct", "MR"),
        ({"Modality": "CANARY"}, "not_ct", "unknown"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer", "localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, "projection", ""),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary_capture", ""),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "secondary_capture", ""),
        ({"Rows": None}, "missing_tag", "Rows"),
        ({"PixelSpacing": None}, "missing_tag", "PixelSpacing"),
        ({"ImagePositionPatient": None}, "missing_tag", "ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "missing_tag", "ImageOrientationPatient"),
        ({"RescaleSlope": None}, "missing_tag", "RescaleSlope"),
        ({"RescaleIntercept": None}, "missing_tag", "RescaleIntercept"),
        ({"RescaleSlope": 0}, "bad_rescale", ""),
        ({"RescaleType": "Z_EFF"}, "not_hu", ""),
        ({"Rows": 4000}, "unsupported_pixels", ""),
        ({"Rows": 2000}, "truncated", ""),
        ({"BitsAllocated": 12}, "unsupported_pixels", "12"),
        ({"BitsStored": 17}, "bad_header", "BitsStored"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "bad_header", "ImageOrientation"),
        ({"ImagePositionPatient": [0, 0, 0]}, "duplicate_position", ""),
    ],
)
def test_series_that_are_not_a_ct_volume(tags, code, word, body, tmp_path):
    Study(tags=tags).write_all(acquire(*body), tmp_path)
    error = refused(tmp_path)
    assert error.code == code
    assert word in error.reason


def test_too_few_slices_and_gaps(body, tmp_path):
    slices = acquire(*body)
    paths = Study().write_all(slices, tmp_path)
    assert refused(paths[0]).code == "too_few_slices"
    assert refused(paths[:10]).code == "too_few_slices"


def test_gap_is_named(tmp_path):
    hu = np.full((32, 32, 40), -500, np.int16)
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    Study().write_all([s for s in acquire(hu, affine) if not 9 <= s.number <= 20], tmp_path)
    error = refused(tmp_path)
    assert error.code == "gap"
    assert "12 slices" in error.reason


def test_uneven_spacing(body, tmp_path):
    slices = acquire(*body)
    for one in slices:
        x, y, z = one.position
        one.position = (x, y, z + (1.2 if one.number > 8 else 0.0))
    Study().write_all(slices, tmp_path)
    assert refused(tmp_path).code == "uneven_spacing"


def test_broken_files_are_left_out_and_counted(body, folder, tmp_path):
    study = copy(folder, tmp_path / "study")
    first = sorted(study.iterdir())[0]
    # A truncated slice at the end of the volume, a report, a picture, clutter.
    first.write_bytes(first.read_bytes()[:-500])
    (study / "note.pdf").write_bytes(b"%PDF-1.4")
    (study / ".DS_Store").write_bytes(b"x")
    extra = Study(tags={"Modality": "SR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"})
    extra.write(acquire(*body)[0], study / "sr")
    error = refused(study)  # 15 slices are left
    assert error.code == "too_few_slices"


def test_everything_that_is_skipped_is_named(body, folder, tmp_path):
    study = copy(folder, tmp_path / "study")
    slices = acquire(*body)
    shutil.copy(study / "IMG0003", study / "twin")
    (study / "note.pdf").write_bytes(b"%PDF-1.4")
    (study / "Thumbs.db").write_bytes(b"x")
    (study / "DICOMDIR").write_bytes(b"not one")
    Study(tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}).write(
        slices[0], study / "scout"
    )
    Study(tags={"Modality": "SEG"}).write(slices[0], study / "seg")
    Study(tags={"Rows": None}).write(slices[0], study / "rowless")
    ct = read_ct(study)
    assert ct.hu.shape == body[0].shape
    assert len(ct.report.used) == 16
    twin = ({"IMG0003", "twin"} & skipped(ct).keys()).pop()
    assert skipped(ct) == {
        twin: "duplicate",
        "note.pdf": "not_dicom",
        "Thumbs.db": "clutter",
        "DICOMDIR": "not_dicom",
        "scout": "localizer",
        "seg": "not_image",
        "rowless": "missing_tag",
    }


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_never_escape_as_another_error(seed, folder, tmp_path):
    """Headers with random bytes: used, skipped or refused, and nothing else."""
    random = np.random.default_rng(seed)
    for path in folder.iterdir():
        data = bytearray(path.read_bytes())
        for at in random.integers(132, 1200, 6):
            data[at] = random.integers(256)
        (tmp_path / path.name).write_bytes(data)
        with pytest.raises(StudyRejected):
            read_ct(tmp_path / path.name)
    with contextlib.suppress(StudyRejected):
        read_ct(tmp_path)


def test_deep_nesting_and_long_headers(folder, tmp_path):
    data = (folder / "IMG0001").read_bytes()
    at = data.index(b"\x08\x00\x08\x00CS")
    nest = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 500
    path = tmp_path / "nested"
    path.write_bytes(data[:at] + nest + data[at:])
    assert refused(path).code == "header_too_large"
    path.write_bytes(data[:at] + b"\x09\x00\x10\x10UN\0\0" + struct.pack("<I", 3 << 30) + data[at:])
    assert refused(path).code == "truncated"
    many = b"\x09\x00\x10\x10LO\0\0" * (3 << 20)
    path.write_bytes(data[:at] + many + data[at:])
    assert refused(path).code == "header_too_large"


def test_deflate_bomb_in_dicom(body, tmp_path):
    path = Study("1.2.840.10008.1.2.1.99").write(acquire(*body)[0], tmp_path / "bomb")
    data = path.read_bytes()
    start = data.index(b"1.2.840.10008.1.2.1.99") + 22
    engine = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    bomb = b"".join(engine.compress(zeros) for _ in range(300)) + engine.flush()
    # Group 2 may go on after the syntax: keep all of it.
    length = struct.unpack_from("<I", data, 140)[0]
    path.write_bytes(data[: max(start, 144 + length)] + bomb)
    assert refused(path).code == "too_large"


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.1.2.4.51", "JPEG Extended"),
        ("1.2.840.10008.1.2.4.100", "MPEG2"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.10008.1.2.4.94", "JPIP"),
        ("1.2.3.4.5", "unknown"),
    ],
)
def test_unread_syntaxes_are_refused_by_name(uid, name, folder, tmp_path):
    data = (folder / "IMG0001").read_bytes()
    old = b"1.2.840.10008.1.2.1\0"
    (head, tail) = data.split(old, 1)
    head = head[:-2] + struct.pack("<H", len(uid) + len(uid) % 2)
    (tmp_path / "x").write_bytes(head + uid.encode() + b"\0" * (len(uid) % 2) + tail)
    error = refused(tmp_path / "x")
    assert error.code == "unsupported_syntax"
    assert name in error.reason


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_codestream_that_claims_another_size(syntax, body, tmp_path):
    """Checked before a codec can believe it."""

    def lie(ds, number):
        ds.Rows, ds.Columns = 32, 32
        ds.PixelData = ds.PixelData[: 32 * 32 * 2]

    study = Study(syntax, change=lie)
    for one in acquire(*body):
        path = study.write(one, tmp_path / str(one.number))
        data = path.read_bytes()
        path.write_bytes(
            data.replace(b"\x28\x00\x10\x00US\x02\x00\x20", b"\x28\x00\x10\x00US\x02\x00\x40")
        )
    error = refused(tmp_path)
    assert error.code == "bad_pixels"
    assert "64" in error.reason


def test_zip_dangers(folder, pack, tmp_path):
    good = pack(folder).read_bytes()
    path = tmp_path / "study.zip"
    path.write_bytes(good[: len(good) // 2])
    assert refused(path).code == "bad_zip"
    # One damaged entry at the end of the scan: too few are left, and it is named.
    middle = bytearray(good)
    middle[200:210] = b"\xff" * 10
    path.write_bytes(middle)
    assert refused(path).code in ("too_few_slices", "bad_zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.write(folder / "IMG0001", "a")
    error = refused(path)
    assert error.code == "zip_method"
    assert "LZMA" in error.reason
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(64 << 20))
    assert refused(path).code == "zip_bomb"


def test_encrypted_and_overlapping_zips(folder, tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "IMG0001", "a")
        archive.write(folder / "IMG0002", "b")
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    locked = data.copy()
    for at in (first, second):
        locked[at + 8] |= 1
    path.write_bytes(locked)
    assert refused(path).code == "encrypted_zip"
    struct.pack_into("<I", data, second + 42, 10)
    path.write_bytes(data)
    assert refused(path).code == "zip_bomb"


def test_odd_entries_of_a_zip(body, folder, tmp_path):
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"../../{path.name}")
    outer = tmp_path / "outer.zip"
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, "/etc/inner.zip")
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/._x", b"x")
    ct = read_ct(outer)
    assert ct.hu.shape == body[0].shape
    assert skipped(ct) == {"link": "special_entry", "__MACOSX/._x": "clutter"}
    nested = tmp_path / "third.zip"
    with zipfile.ZipFile(nested, "w") as archive:
        archive.write(outer, "outer.zip")
    assert "zip inside a zip inside a zip" in refused(nested).reason


def test_pipes_do_not_hang(folder, tmp_path):
    study = copy(folder, tmp_path / "study")
    os.mkfifo(study / "pipe")
    assert skipped(read_ct(study)) == {"pipe": "special_entry"}


def nifti(tmp_path, hu, affine, change=None) -> Path:
    image = nib.Nifti1Image(hu, affine)
    image.header.set_xyzt_units("mm")
    if change:
        change(image)
    path = tmp_path / "scan.nii"
    nib.save(image, path)
    return path


def test_nifti_refusals(body, tmp_path):
    hu, affine = body
    assert refused(nifti(tmp_path, np.stack([hu, hu], -1), affine)).code == "not_3d"
    assert refused(nifti(tmp_path, (hu > 0).astype(np.uint8), affine)).code == "not_hu"
    assert refused(nifti(tmp_path, hu[:, :, :8], affine)).code == "too_few_slices"
    broken = hu.astype(np.float32)
    broken[:5] = np.nan
    assert refused(nifti(tmp_path, broken, affine)).code == "not_hu"

    def forget(image):
        image.set_sform(None, 0)
        image.set_qform(None, 0)

    assert refused(nifti(tmp_path, hu, affine, forget)).code == "orientation_unknown"
    whole = nifti(tmp_path, hu, affine).read_bytes()
    path = tmp_path / "cut.nii"
    path.write_bytes(whole[:-100])
    assert refused(path).code == "truncated"
    lie = bytearray(whole)
    struct.pack_into("<3h", lie, 42, 32767, 32767, 32767)
    path.write_bytes(lie)
    assert refused(path).code == "too_large"
    struct.pack_into("<i", lie, 344, 0)
    path.write_bytes(lie)
    assert refused(path).code == "nifti_pair"
    path.write_bytes(gzip.compress(whole)[:-500])
    assert refused(path).code == "truncated"


def test_nifti_variants(body, tmp_path):
    hu, affine = body
    some = hu.astype(np.float64)
    some[0, 0, 0] = np.nan
    ct = read_ct(nifti(tmp_path, some, affine))
    assert [n.code for n in ct.report.warnings] == ["not_finite"]
    assert ct.hu[0, 0, 0] == -1024

    def differ(image):
        image.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
        image.set_sform(affine, 1)

    ct = read_ct(nifti(tmp_path, hu, affine, differ))
    assert [n.code for n in ct.report.warnings] == ["affines_differ"]
    np.testing.assert_allclose(ct.geometry.affine, affine)

    def only_qform(image):
        image.set_qform(affine, 1)
        image.set_sform(None, 0)

    flipped = nifti(tmp_path, hu[::-1], affine @ np.diag([-1.0, 1, 1, 1]), None)
    assert read_ct(flipped).geometry.orientation == "RAS"
    np.testing.assert_allclose(
        read_ct(nifti(tmp_path, hu, affine, only_qform)).geometry.affine, affine, atol=1e-4
    )
    path = tmp_path / "two.nii"
    nib.save(nib.Nifti2Image(hu, affine), path)
    np.testing.assert_array_equal(read_ct(path).hu, hu)
    assert refused([path, flipped]).code == "several_volumes"
    with pytest.raises(UsageError):
        read_ct(path, series=1)
