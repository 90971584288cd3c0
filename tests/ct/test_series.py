"""Which series is read, why, and what is asked when that is not clear."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cspine_zoo.ct.codes import RULINGS
from cspine_zoo.ct.read import inspect_study, read_ct
from cspine_zoo.ct.syntaxes import REFUSED, SYNTAXES
from cspine_zoo.errors import StudyRejected, UsageError
from tests.ct.dicom_writer import Study, acquire


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Thin, thick, reformatted and MR series of one patient, and the UID of the thin one."""
    path = tmp_path_factory.mktemp("several")
    hu = np.full((32, 32, 20), -800, np.int16)
    study_uid, thin_uid = generate_uid(), generate_uid()
    volumes = [
        ("thick", 4, (1.5, 1.5, 5.0), {}),
        ("thin", 3, (1.5, 1.5, 2.5), {}),
        ("mpr", 2, (1.5, 1.5, 2.25), {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
        ("mr", 1, (1.5, 1.5, 2.5), {"Modality": "MR"}),
    ]
    for name, number, spacing, tags in volumes:
        study = Study(tags={"SeriesNumber": number, **tags}, study_uid=study_uid)
        study.series_uid = thin_uid if name == "thin" else study.series_uid
        study.write_all(acquire(hu, np.diag([*spacing, 1.0])), path / name)
    return path, thin_uid


def test_longest_original_series_is_chosen_with_a_reason(several):
    found = inspect_study(several[0]).to_dict()
    assert [row["index"] for row in found["series"]] == [0, 1, 2, 3]
    assert [row["modality"] for row in found["series"]] == ["MR", "CT", "CT", "CT"]
    assert [row["chosen"] for row in found["series"]] == [False, False, False, True]
    assert all(row["reason"] for row in found["series"])
    assert found["volume"]["spacing_mm"] == [1.5, 1.5, 5.0]  # 100 mm against 50: the neck
    assert {file["code"] for file in found["skipped"]} == {"not_ct", "other_series"}
    assert len(found["skipped"]) == 60


def test_series_by_index_and_uid(several, read_here):
    several, uid = several
    thin = read_here(several, series=2)
    assert thin.geometry.spacing_mm == (1.5, 1.5, 2.5)
    assert read_here(several, series="2").geometry.spacing_mm == thin.geometry.spacing_mm
    assert read_here(several, series=uid).geometry.spacing_mm == thin.geometry.spacing_mm
    derived = read_here(several, series=1)
    assert [notice.code for notice in derived.report.warnings] == ["derived"]
    for wrong in (9, -1, "1.2.3", "x", ""):
        with pytest.raises(UsageError, match="unknown_series"):
            read_here(several, series=wrong)
    with pytest.raises(UsageError):
        read_ct(several, series=1.5)
    with pytest.raises(StudyRejected, match="not_ct"):
        read_here(several, series=0)


def test_two_patients_and_two_studies(body, folder, tmp_path, read_here):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    Study(tags={"PatientID": "p2"}).write_all(acquire(*body), mixed, "other")
    with pytest.raises(StudyRejected, match="several_patients"):
        read_here(mixed)
    assert read_here(mixed, series=1).hu.shape == body[0].shape
    studies = tmp_path / "studies"
    shutil.copytree(folder, studies)
    Study().write_all(acquire(*body), studies, "other")
    with pytest.raises(StudyRejected, match="several_studies"):
        read_here(studies)


def test_two_acquisitions_under_one_uid_are_split(body, tmp_path, read_here):
    first = Study(tags={"AcquisitionNumber": 1})
    first.write_all(acquire(*body), tmp_path, "a")
    changed = body[0] + np.int16(7)
    second = Study(
        tags={"AcquisitionNumber": 2}, series_uid=first.series_uid, study_uid=first.study_uid
    )
    second.write_all(acquire(changed, body[1]), tmp_path, "b")
    ct = read_here(tmp_path)
    assert len(ct.report.series) == 2
    np.testing.assert_array_equal(read_here(tmp_path, series=0).hu, body[0])
    np.testing.assert_array_equal(read_here(tmp_path, series=1).hu, changed)


def test_two_orientations_under_one_uid_are_split(body, tmp_path, read_here):
    study = Study()
    study.write_all(acquire(*body), tmp_path, "axial")
    study.write_all(acquire(*body, "PIL"), tmp_path, "sagittal")
    ct = read_here(tmp_path)
    assert len(ct.report.series) == 2
    assert sum(file.code == "other_series" for file in ct.report.skipped) == 36
    np.testing.assert_array_equal(ct.hu, body[0])


def test_same_position_other_pixels_is_refused(body, tmp_path, read_here):
    study = Study()
    study.write_all(acquire(*body), tmp_path, "a")
    study.write_all(acquire(body[0] + np.int16(1), body[1]), tmp_path, "b")
    with pytest.raises(StudyRejected, match="duplicate_position"):
        read_here(tmp_path)


def item(**values) -> list[Dataset]:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


@pytest.mark.parametrize("shared_orientation", [True, False])
def test_enhanced_multi_frame(shared_orientation, body, tmp_path, read_here):
    """Geometry and rescale come from the functional groups, whichever holds them."""
    study, slices = Study(), acquire(*body)
    ds = study.dataset(slices[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    del ds.RescaleSlope, ds.RescaleIntercept
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    ds.NumberOfFrames = len(slices)
    orientation = item(ImageOrientationPatient=list(slices[0].orientation))
    shared = item(PixelMeasuresSequence=item(PixelSpacing=list(slices[0].spacing)))
    if shared_orientation:
        shared[0].PlaneOrientationSequence = orientation
    ds.SharedFunctionalGroupsSequence = shared
    frames = []
    for one in slices:
        rescale = item(RescaleSlope=1, RescaleIntercept=-1024 - one.number)
        place = item(ImagePositionPatient=list(one.position))
        (frame,) = item(PlanePositionSequence=place, PixelValueTransformationSequence=rescale)
        if not shared_orientation:
            frame.PlaneOrientationSequence = orientation
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    stored = [(one.hu + 1024 + one.number).astype("<u2").tobytes() for one in slices]
    ds.PixelData = b"".join(stored)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(tmp_path / "enhanced", enforce_file_format=True)
    ct = read_here(tmp_path / "enhanced")
    np.testing.assert_array_equal(ct.hu, body[0])
    np.testing.assert_allclose(ct.geometry.affine, body[1], atol=1e-5)
    assert ct.report.used == (str(tmp_path / "enhanced"),)


def test_no_preamble_and_no_meta_header(body, folder, tmp_path, read_here):
    for path in folder.iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data[data.index(b"\x08\x00\x08\x00CS") :])
    np.testing.assert_array_equal(read_here(tmp_path).hu, body[0])


def test_reading_leaves_out_the_patient(folder, read_here):
    """Nothing that identifies the patient is in the report."""
    assert "Canary" not in repr(read_here(folder).report)
    assert "Canary" not in str(inspect_study(folder).to_dict())


DOCS = Path(__file__).parents[2] / "docs" / "reading.md"


def test_docs_list_every_code():
    text = DOCS.read_text(encoding="utf-8")
    for code, ruling in RULINGS.items():
        assert ruling.outcome in ("rejected", "skipped", "warning")
        assert f"| `{code}` | {ruling.outcome} | {ruling.meaning} | {ruling.hint} |" in text


def test_docs_list_every_refusal_and_warning_after_reading() -> None:
    """Wherever the package makes one, by the code that it names there."""
    text = DOCS.read_text(encoding="utf-8")
    package = DOCS.parents[1] / "cspine_zoo"
    codes = {
        node.args[0].value
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("StudyRejected", "Notice")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"no_cervical_spine", "table_value", "level_uncertain"} <= codes
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []


def test_docs_list_every_transfer_syntax():
    text = DOCS.read_text(encoding="utf-8")
    for syntax in SYNTAXES.values():
        decoders = ", then ".join(syntax.decoders) or "none needed"
        assert f"| {syntax.uid} | {syntax.name} | {decoders} |" in text
    for uid, name in REFUSED.items():
        assert f"| {uid} | {name} | refused |" in text
