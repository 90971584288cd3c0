"""What a refusal says beside its code; every way to be refused is in tests/catalogue."""

from __future__ import annotations

import contextlib
import shutil

import nibabel as nib
import numpy as np
import pytest

from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.codes import RULINGS
from cspine_zoo.ct.intake import take_in
from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import StudyRejected, UsageError
from tests.ct.dicom_writer import Study, acquire


def refused(source) -> StudyRejected:
    with pytest.raises(StudyRejected) as info:
        read_ct(source)
    error = info.value
    assert error.code in RULINGS
    assert error.reason
    return error


def test_wrong_types_are_a_wrong_use(body, folder, tmp_path):
    for wrong in (7, [7], None):
        with pytest.raises(UsageError):
            read_ct(wrong)
    with pytest.raises(UsageError):
        read_ct(folder, series=True)
    nib.save(nib.Nifti1Image(*body), tmp_path / "scan.nii")
    with pytest.raises(UsageError, match="unknown_series"):
        read_ct(tmp_path / "scan.nii", series=1)


def test_no_dicom_says_what_was_found(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-")
    (tmp_path / "\x1b[31mb").write_bytes(b"hello")
    error = refused(tmp_path)
    assert "1 x PDF" in error.reason
    assert error.hint


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "MR"),
        ({"Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"}, "PT"),
        ({"Rows": None}, "Rows (0028,0010)"),
        ({"PixelSpacing": None}, "PixelSpacing (0028,0030)"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient (0020,0032)"),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient (0020,0037)"),
        ({"RescaleSlope": None}, "RescaleSlope (0028,1053)"),
    ],
)
def test_what_is_wrong_is_named(tags, named, body, tmp_path):
    Study(tags=tags).write_all(acquire(*body)[:2], tmp_path)
    assert named in refused(tmp_path).reason


def test_gap_is_named(tmp_path):
    hu = np.full((32, 32, 40), -500, np.int16)
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    Study().write_all([s for s in acquire(hu, affine) if not 9 <= s.number <= 20], tmp_path)
    error = refused(tmp_path)
    assert error.code == "gap"
    assert "12 slices" in error.reason


def test_everything_that_is_skipped_is_named(body, folder, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(folder, study)
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
    skipped = {file.file: file.code for file in ct.report.skipped}
    twin = ({"IMG0003", "twin"} & skipped.keys()).pop()
    assert skipped == {
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
        # In this process: another error would show where it came from.
        with pytest.raises(StudyRejected):
            assemble(take_in(tmp_path / path.name), None, "")
    with contextlib.suppress(StudyRejected):
        assemble(take_in(tmp_path), None, "")
