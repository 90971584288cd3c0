"""The same scan gives the same voxels, however it was acquired, packed and compressed."""

from __future__ import annotations

import random
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cspine_zoo.ct.read import inspect_study, read_ct
from tests.ct.dicom_writer import (
    BY_GDCM,
    ENCAPSULATED,
    ORIENTATIONS,
    UNCOMPRESSED,
    Slice,
    Study,
    acquire,
)


def same(source, body) -> None:
    hu, affine = body
    ct = read_ct(source)
    np.testing.assert_array_equal(ct.hu, hu.astype(np.float32))
    np.testing.assert_allclose(ct.geometry.affine, affine, atol=1e-5)
    assert min(ct.hu.strides) > 0  # torch takes no negative strides


@pytest.mark.parametrize("directions", ORIENTATIONS)
def test_left_stays_left_in_all_48_orientations(directions, body, tmp_path):
    Study().write_all(acquire(*body, directions), tmp_path)
    same(tmp_path, body)


def test_packings_agree(body, folder, pack, tmp_path):
    hu, affine = body
    image = nib.Nifti1Image(hu, affine)
    nib.save(image, tmp_path / "scan.nii.gz")
    nib.save(image, tmp_path / "scan.nii")
    sources = [
        folder,
        str(folder),
        pack(folder),
        sorted(folder.iterdir()),
        tmp_path / "scan.nii",
        tmp_path / "scan.nii.gz",
    ]
    for source in sources:
        same(source, body)
    assert len({inspect_study(source).hu.sha256 for source in sources}) == 1


def test_order_of_files_does_not_matter(body, folder):
    files = sorted(folder.iterdir())
    for seed in range(5):
        random.Random(seed).shuffle(files)
        same(files, body)


def test_names_and_instance_numbers_do_not_matter(body, tmp_path):
    slices = acquire(*body)
    numbers = random.Random(1).sample(range(500), len(slices))
    for one, number in zip(slices, numbers, strict=True):
        one.number = number
    Study(tags={"PatientPosition": "FFP"}).write_all(slices, tmp_path)
    same(tmp_path, body)


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *ENCAPSULATED, *BY_GDCM])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_syntaxes_are_bit_identical(syntax, signed, body, tmp_path):
    study = Study(syntax, signed=signed, intercept=0.0 if signed else -1024.0)
    study.write_all(acquire(*body), tmp_path)
    same(tmp_path, body)


@pytest.mark.parametrize("syntax", [UNCOMPRESSED[1], *ENCAPSULATED, *BY_GDCM])
def test_twelve_bits_signed(syntax, body, tmp_path):
    Study(syntax, signed=True, intercept=0.0, bits_stored=12).write_all(acquire(*body), tmp_path)
    same(tmp_path, body)


def test_slope_and_intercept_of_each_slice(body, tmp_path):
    for one in acquire(*body):
        study = Study(intercept=-1024.0 - one.number, slope=1.0 if one.number % 2 else 0.5)
        study.series_uid, study.study_uid = "1.2.3", "1.2.4"
        study.write(one, tmp_path / str(one.number))
    same(tmp_path, body)


def test_garbage_above_the_bits_stored_is_dropped(body, tmp_path):
    def overlay(ds, number):
        words = np.frombuffer(ds.PixelData, "<u2") | 0xF000
        ds.PixelData = words.astype("<u2").tobytes()

    Study(bits_stored=12, change=overlay).write_all(acquire(*body), tmp_path)
    same(tmp_path, body)


@pytest.mark.parametrize("padding", [-2000, -3024, 700])
def test_padding_becomes_air(padding, body, tmp_path):
    hu, affine = body
    padded = hu.copy()
    padded[0] = padding
    Study(signed=True, intercept=0.0, tags={"PixelPaddingValue": padding}).write_all(
        acquire(padded, affine), tmp_path
    )
    ct = read_ct(tmp_path)
    assert (ct.hu[0] == -1024).all()
    np.testing.assert_array_equal(ct.hu[1:], hu[1:])


def test_padding_beyond_the_bits_stored(body, tmp_path):
    def pad(ds, number):
        words = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).copy()
        words[:, 0] = 63536  # -2000 as 16 bits, would be +1072 HU in 12
        ds.PixelData = words.tobytes()
        ds.PixelPaddingValue = 63536

    Study(bits_stored=12, change=pad).write_all(acquire(*body), tmp_path)
    ct = read_ct(tmp_path)
    assert (ct.hu[-1] == -1024).all()  # column 0 of an LPS image is the patient's right
    np.testing.assert_array_equal(ct.hu[:-1], body[0][:-1])


def test_monochrome1_is_not_inverted(body, tmp_path):
    Study(tags={"PhotometricInterpretation": "MONOCHROME1"}).write_all(acquire(*body), tmp_path)
    same(tmp_path, body)
    assert [notice.code for notice in read_ct(tmp_path).report.warnings] == ["monochrome1"]


def tilted(slices: list[Slice], per_slice_mm: float) -> list[Slice]:
    """Displace each slice along its columns, as a tilted gantry does."""
    for one in slices:
        x, y, z = one.position
        one.position = (x, y + per_slice_mm * (one.number - 1), z)
    return slices


def test_gantry_tilt_is_sheared_back(tmp_path):
    """A rod that runs straight in the patient is straight in the volume, where it belongs."""
    rows, shift_mm = 30, 0.5
    slices = []
    for k in range(20):
        hu = np.full((rows, 24), -1000, np.int16)
        world_y = 20.0
        row = (world_y - shift_mm * k) / 2.0
        low = int(np.floor(row))
        hu[low, 10] = round(2000 * (1 - row + low)) - 1000
        hu[low + 1, 10] = round(2000 * (row - low)) - 1000
        slices.append(Slice(hu, (0, 0, 2.5 * k), (1, 0, 0, 0, 1, 0), (2.0, 2.0), k + 1))
    Study().write_all(tilted(slices, shift_mm), tmp_path)
    ct = read_ct(tmp_path)
    assert [notice.code for notice in ct.report.warnings] == ["tilt_corrected"]
    inside = ct.geometry.to_voxel([-20.0, -20.0, 20.0])  # RAS of LPS x = y = 20
    i, j = round(inside[0]), round(inside[1])
    assert abs(inside - np.round(inside)).max() < 1e-6
    weight = np.clip(ct.hu[i] + 1000, 0, None)
    centre = (weight * np.arange(weight.shape[0])[:, None]).sum(0) / weight.sum(0)
    np.testing.assert_allclose(centre, j, atol=0.02)


def test_missing_slice_is_bridged_with_its_place(body, tmp_path):
    hu = np.concatenate([body[0], body[0]], axis=2)
    affine = body[1].copy()
    affine[2, 2] = 2.4
    Study().write_all([s for s in acquire(hu, affine) if s.number != 8], tmp_path)
    ct = read_ct(tmp_path)
    assert [notice.code for notice in ct.report.warnings] == ["gap_filled"]
    assert "156.8 mm" in ct.report.warnings[0].message
    assert ct.hu.shape == hu.shape
    np.testing.assert_array_equal(
        ct.hu[:, :, 7], (hu[:, :, 6].astype(np.float32) + hu[:, :, 8]) / 2
    )


def test_rounded_positions_are_accepted(body, tmp_path):
    slices = acquire(*body)
    for one in slices:
        x, y, z = one.position
        one.position = (x, y, z + 0.05 * (-1) ** one.number)
    Study().write_all(slices, tmp_path)
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, body[0])
    assert not ct.report.warnings


def test_oblique_slices_keep_their_place(tmp_path, body):
    hu, affine = body
    c, s = np.cos(0.3), np.sin(0.3)
    turned = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]) @ affine
    Study().write_all(acquire(hu, turned), tmp_path)
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    np.testing.assert_allclose(ct.geometry.affine, turned, atol=1e-4)


def test_real_scan():
    source = Path(__file__).parents[2] / "../shared/data/head_neck_ct/head_neck_ct.zip"
    if not source.exists():
        pytest.skip("the real scan is not here")
    inspection = inspect_study(source).to_dict()
    assert inspection["volume"]["shape"] == [511, 511, 90]
    assert inspection["volume"]["spacing_mm"] == [1.0, 1.0, 3.0]
    assert inspection["volume"]["orientation"] == "RAS"
    assert inspection["volume"]["affine"][2][3] == -267.0
    assert inspection["volume"]["hu"]["min"] == -1024.0
    assert inspection["series"][0]["n_files"] == 90
    assert inspection["warnings"] == inspection["skipped"] == []
