"""From stored values to HU on a regular grid, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

from cspine_zoo.ct.read import read_ct
from tests.ct.dicom_writer import Study, acquire


def same(source, body) -> None:
    hu, affine = body
    ct = read_ct(source)
    np.testing.assert_array_equal(ct.hu, hu.astype(np.float32))
    np.testing.assert_allclose(ct.geometry.affine, affine, atol=1e-5)
    assert min(ct.hu.strides) > 0  # torch takes no negative strides


def test_slope_and_intercept_of_each_slice(body, tmp_path):
    for one in acquire(*body):
        study = Study(intercept=-1024.0 - one.number, slope=1.0 if one.number % 2 else 0.5)
        study.series_uid, study.study_uid = "1.2.3", "1.2.4"
        study.write(one, tmp_path / str(one.number))
    same(tmp_path, body)


@pytest.mark.parametrize("padding", [-2000, -3024, 700])
def test_padding_becomes_air(padding, body, tmp_path, read_here):
    hu, affine = body
    padded = hu.copy()
    padded[0] = padding
    Study(signed=True, intercept=0.0, tags={"PixelPaddingValue": padding}).write_all(
        acquire(padded, affine), tmp_path
    )
    ct = read_here(tmp_path)
    assert (ct.hu[0] == -1024).all()
    np.testing.assert_array_equal(ct.hu[1:], hu[1:])


def test_padding_beyond_the_bits_stored(body, tmp_path, read_here):
    def pad(ds, number):
        words = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).copy()
        words[:, 0] = 63536  # -2000 as 16 bits, would be +1072 HU in 12
        ds.PixelData = words.tobytes()
        ds.PixelPaddingValue = 63536

    Study(bits_stored=12, change=pad).write_all(acquire(*body), tmp_path)
    ct = read_here(tmp_path)
    assert (ct.hu[-1] == -1024).all()  # column 0 of an LPS image is the patient's right
    np.testing.assert_array_equal(ct.hu[:-1], body[0][:-1])


def test_monochrome1_is_not_inverted(body, tmp_path, read_here):
    Study(tags={"PhotometricInterpretation": "MONOCHROME1"}).write_all(acquire(*body), tmp_path)
    same(tmp_path, body)
    assert [notice.code for notice in read_here(tmp_path).report.warnings] == ["monochrome1"]


def test_missing_slice_is_bridged_with_its_place(body, tmp_path, read_here):
    hu = np.concatenate([body[0], body[0]], axis=2)
    affine = body[1].copy()
    affine[2, 2] = 2.4
    Study().write_all([s for s in acquire(hu, affine) if s.number != 8], tmp_path)
    ct = read_here(tmp_path)
    assert [notice.code for notice in ct.report.warnings] == ["gap_filled"]
    assert "156.8 mm" in ct.report.warnings[0].message
    assert ct.hu.shape == hu.shape
    np.testing.assert_array_equal(
        ct.hu[:, :, 7], (hu[:, :, 6].astype(np.float32) + hu[:, :, 8]) / 2
    )


def test_rounded_positions_are_accepted(body, tmp_path, read_here):
    slices = acquire(*body)
    for one in slices:
        x, y, z = one.position
        one.position = (x, y, z + 0.05 * (-1) ** one.number)
    Study().write_all(slices, tmp_path)
    ct = read_here(tmp_path)
    np.testing.assert_array_equal(ct.hu, body[0])
    assert not ct.report.warnings
