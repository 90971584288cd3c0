"""Stored values to HU: exact, never below air, and as few bytes as hold them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.rescale import AIR_HU, Rescale
from cspine_zoo.ct.volume import CTVolume
from tests.ct.dicom_writer import Study, acquire

KINDS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)


@given(
    kind=st.sampled_from(KINDS),
    values=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    slope=st.sampled_from([1.0, -1.0, 2.0, 0.5]),
    intercept=st.sampled_from([0.0, -1024.0, -8192.0, 70000.0, 0.25]),
)
def test_hu_are_what_double_precision_gives(kind, values, slope, intercept) -> None:
    """In int16 either exact or refused, in float32 within one rounding."""
    limits = np.iinfo(kind)
    stored = (np.array(values) * (limits.max - limits.min) + limits.min).astype(kind)
    rescale = Rescale(slope, intercept, limits.bits, limits.min < 0)
    expected = np.maximum(stored.astype(np.float64) * slope + intercept, AIR_HU)
    wide = np.empty(stored.shape, np.float32)
    rescale.write(wide, stored)
    np.testing.assert_array_equal(wide, expected.astype(np.float32))
    if not rescale.whole:
        return
    narrow = np.empty(stored.shape, np.int16)
    if expected.max() <= 32767:
        rescale.write(narrow, stored)
        np.testing.assert_array_equal(narrow, expected)
    else:
        assert not rescale.fits_int16
        with pytest.raises(OverflowError):
            rescale.write(narrow, stored)


def test_whole_hu_take_two_bytes(body, tmp_path, read_here) -> None:
    Study(bits_stored=12).write_all(acquire(*body), tmp_path)
    ct = read_here(tmp_path)
    assert ct.voxels.dtype == np.int16
    np.testing.assert_array_equal(ct.voxels, body[0])
    np.testing.assert_array_equal(ct.hu, body[0].astype(np.float32))


@pytest.mark.parametrize("last", [True, False])
def test_hu_beyond_int16_are_kept(last, body, tmp_path, read_here) -> None:
    """Found out at any slice, which all others then follow."""
    hu = body[0].astype(np.int32)
    hu[3, 4, -1 if last else 0] = 40000
    Study().write_all(acquire(hu, body[1]), tmp_path)
    ct = read_here(tmp_path)
    assert ct.voxels.dtype == np.float32
    np.testing.assert_array_equal(ct.hu, hu)


@pytest.mark.parametrize(("highest", "kind"), [(3000, np.int16), (40000, np.float32)])
def test_whole_hu_of_nifti(highest, kind, body, tmp_path, read_here) -> None:
    hu = body[0].astype(np.int32)
    hu[3, 4, 5] = highest
    path = tmp_path / "volume.nii.gz"
    nib.save(nib.Nifti1Image(hu, body[1]), path)
    ct = read_here(path)
    assert ct.voxels.dtype == kind
    np.testing.assert_array_equal(ct.hu, hu)


def test_float32_is_made_once_and_runs_forwards() -> None:
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    ct = CTVolume(stored[::-1, :, ::-1], Geometry((2, 3, 4), np.eye(4)))
    assert ct.hu is ct.hu
    assert min(ct.hu.strides) > 0  # torch takes no negative strides
    np.testing.assert_array_equal(ct.hu, stored[::-1, :, ::-1])
    own = np.zeros((2, 3, 4), np.float32)
    assert CTVolume(own, ct.geometry).hu is own


def test_other_numbers_are_no_voxels() -> None:
    with pytest.raises(ValueError, match="float64"):
        CTVolume(np.zeros((2, 3, 4)), Geometry((2, 3, 4), np.eye(4)))
