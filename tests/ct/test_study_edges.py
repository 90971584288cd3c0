"""One Series Instance UID that holds more, or less, than one volume; slices at odd places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless, generate_uid

from cspine_zoo.errors import StudyRejected
from tests.ct.dicom_writer import Study, acquire


def codes(ct) -> list[str]:
    return [notice.code for notice in ct.report.warnings]


def skipped(ct) -> set[str]:
    return {file.code for file in ct.report.skipped}


def code_of(read, source) -> str:
    with pytest.raises(StudyRejected) as caught:
        read(source)
    return caught.value.code


def moved(slices, mm: float):
    for one in slices:
        x, y, z = one.position
        one.position = (x, y, z + mm)
    return slices


def alike(study: Study, **tags) -> Study:
    """Another study object under the same UIDs."""
    return Study(series_uid=study.series_uid, study_uid=study.study_uid, tags=tags)


def test_two_stations_far_apart_are_two_volumes(body, tmp_path, read_here):
    """Head and pelvis in one series: a gap of 30 cm is no gap if each part stands for itself."""
    neck = Study(tags={"AcquisitionNumber": 1})
    neck.write_all(acquire(*body), tmp_path, "neck")
    far = moved(acquire(body[0] + np.int16(1), body[1]), -300)[2:]
    alike(neck, AcquisitionNumber=2).write_all(far[:-1], tmp_path, "far")
    ct = read_here(tmp_path)
    np.testing.assert_array_equal(ct.hu, body[0])
    assert len(ct.report.series) == 2
    assert skipped(ct) == {"too_few_slices"}


def test_stations_that_join_are_one_volume(tmp_path, read_here):
    hu = np.random.default_rng(0).integers(-900, 900, (32, 32, 40)).astype(np.int16)
    first = Study(tags={"AcquisitionNumber": 1})
    slices = acquire(hu, np.diag([2.0, 2.0, 2.0, 1.0]))
    first.write_all(slices[:25], tmp_path)
    alike(first, AcquisitionNumber=2).write_all(slices[25:], tmp_path)
    ct = read_here(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    assert len(ct.report.series) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ConvolutionKernel": "B70f"}, {"ConvolutionKernel": "B30f"}),
        ({}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
    ],
    ids=["kernels", "reformat"],
)
def test_two_reconstructions_under_one_uid(first, second, body, tmp_path, read_here):
    study = Study(tags=first)
    study.write_all(acquire(*body), tmp_path, "z")
    alike(study, **second).write_all(acquire(body[0] + np.int16(9), body[1]), tmp_path, "a")
    ct = read_here(tmp_path)
    np.testing.assert_array_equal(ct.hu, body[0])
    assert len(ct.report.series) == 2
    assert skipped(ct) == {"other_series"}


@pytest.mark.parametrize("difference", ["size", "pixel spacing"])
def test_two_fields_of_view_under_one_uid(difference, body, tmp_path, read_here):
    hu, affine = body
    study = Study()
    study.write_all(acquire(hu, affine), tmp_path, "a")
    if difference == "size":
        other = acquire(hu[:-2], affine)
    else:
        other = acquire(hu, affine @ np.diag([1.1, 1.1, 1.0, 1.0]))
    study.write_all(other[:-1], tmp_path, "b")
    ct = read_here(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    np.testing.assert_allclose(ct.geometry.affine, affine, atol=1e-5)


def test_the_same_pixels_at_another_scale_are_no_copy(body, tmp_path, read_here):
    """Same first pixels, same values, other pixel spacing: two volumes, neither half dropped."""
    hu, affine = body
    study = Study()
    slices = acquire(hu, affine)
    study.write_all(slices, tmp_path, "a")
    study.write_all([replace(one, spacing=(2.0, 2.0)) for one in slices], tmp_path, "b")
    ct = read_here(tmp_path)
    assert [one.n_files for one in ct.report.series] == [16, 16]
    assert skipped(ct) == {"other_series"}


def test_bolus_monitor_under_the_same_uid(body, tmp_path, read_here):
    scan = Study(tags={"AcquisitionNumber": 3})
    slices = acquire(*body)
    scan.write_all(slices, tmp_path)
    monitor = alike(scan, AcquisitionNumber=2)
    for number in range(20):
        slices[5].number, slices[5].hu = number, slices[5].hu + np.int16(1)
        monitor.write(slices[5], tmp_path / f"bolus{number}")
    ct = read_here(tmp_path)
    np.testing.assert_array_equal(ct.hu, body[0])
    assert skipped(ct) == {"duplicate_position"}


def test_pet_at_the_same_positions(body, folder, tmp_path, read_here):
    pet = Study(tags={"Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"})
    pet.write_all(acquire(body[0] + np.int16(5), body[1]), tmp_path, "pet")
    ct = read_here([*sorted(folder.iterdir()), *sorted(tmp_path.iterdir())])
    np.testing.assert_array_equal(ct.hu, body[0])
    assert skipped(ct) == {"not_ct"}
    assert not codes(ct)


@pytest.mark.parametrize("tag", ["PatientID", "StudyInstanceUID"])
def test_one_slice_of_somebody_else_stops_the_reading(tag, body, tmp_path, read_here):
    study = Study()
    slices = acquire(*body)
    study.write_all(slices, tmp_path)
    alike(study, **{tag: "1.2.3"}).write(slices[7], tmp_path / slices_name(8))
    expected = {"PatientID": "several_patients", "StudyInstanceUID": "several_studies"}
    assert code_of(read_here, tmp_path) == expected[tag]


def slices_name(number: int) -> str:
    return f"IMG{number:04d}"


@pytest.mark.parametrize("tag", ["PatientID", "StudyInstanceUID"])
def test_a_tag_that_half_of_the_files_lack_splits_nothing(tag, body, tmp_path, read_here):
    study = Study()
    slices = acquire(*body)
    study.write_all(slices[::2], tmp_path)
    lacking = Study(series_uid=study.series_uid, study_uid=study.study_uid, tags={tag: ""})
    lacking.tags["PatientName"] = ""
    lacking.write_all(slices[1::2], tmp_path)
    np.testing.assert_array_equal(read_here(tmp_path).hu, body[0])


def test_the_number_of_a_series_does_not_depend_on_names(body, tmp_path, read_here):
    """Two phases at one place are told apart by what is in them."""
    uids = generate_uid(), generate_uid()
    found = []
    for prefixes in (("a", "b"), ("b", "a")):
        for n, prefix in enumerate(prefixes):
            study = Study(tags={"AcquisitionNumber": n + 1}, series_uid=uids[0], study_uid=uids[1])
            hu = body[0] + np.int16(n)
            study.write_all(acquire(hu, body[1]), tmp_path / prefixes[0], prefix)
        found.append(read_here(tmp_path / prefixes[0], 0).hu)
    np.testing.assert_array_equal(found[0], body[0])
    np.testing.assert_array_equal(found[0], found[1])


def test_a_whole_series_is_read_where_another_has_a_gap(tmp_path, read_here):
    hu = np.random.default_rng(0).integers(-900, 900, (32, 32, 40)).astype(np.int16)
    long, short = np.diag([2.0, 2.0, 3.0, 1.0]), np.diag([2.0, 2.0, 2.0, 1.0])
    study = Study()
    study.write_all([s for s in acquire(hu, long) if not 9 <= s.number <= 12], tmp_path / "a")
    Study(study_uid=study.study_uid).write_all(acquire(hu, short), tmp_path / "b")
    ct = read_here(tmp_path)
    assert ct.geometry.spacing_mm == (2.0, 2.0, 2.0)
    assert skipped(ct) == {"gap"}


def stacked(places, tmp_path) -> None:
    """Slices at the given heights in mm."""
    hu = np.full((32, 32, len(places)), -500, np.int16)
    slices = acquire(hu, np.diag([2.0, 2.0, 1.0, 1.0]))
    for one, z in zip(slices, places, strict=True):
        one.position = (*one.position[:2], float(z))
    Study().write_all(slices, tmp_path)


def steps(count: int, step: float, at: int, factor: float) -> list[float]:
    """Heights with one step that is longer than the others."""
    sizes = [step] * (count - 1)
    sizes[at] *= factor
    return [0.0, *np.cumsum(sizes)]


@pytest.mark.parametrize(
    ("places", "code"),
    [
        (steps(24, 2.0, 11, 1.5), "gap"),
        (steps(24, 2.0, 11, 1.4), "uneven_spacing"),
        (steps(24, 2.0, 11, 4.0), "gap"),
        (steps(24, 2.0, 0, 1e4), "gap"),
        (np.arange(24) * 25.0, "bad_geometry"),
        (np.arange(24) * 2.0 + 1e6, "bad_geometry"),
        (sorted([*np.arange(11) * 4.0, *np.arange(11) * 4.0 + 0.06]), "gap"),
        ([n * 2.0 for n in range(40) if n % 3], "gap"),
    ],
    ids=["1.5", "1.4", "4", "far", "25 mm", "away", "pairs", "every third"],
)
def test_steps_that_no_volume_has(places, code, tmp_path, read_here):
    stacked(places, tmp_path)
    assert code_of(read_here, tmp_path) == code


def test_jitter_of_one_percent_is_no_news(tmp_path, read_here):
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 24)
    stacked(np.arange(24) * 2.0 + 2.0 * jitter, tmp_path)
    assert not codes(read_here(tmp_path))


def test_jitter_of_eight_percent_is_told(tmp_path, read_here):
    places = np.arange(24) * 2.0
    places[11] += 0.16
    stacked(places, tmp_path)
    assert codes(read_here(tmp_path)) == ["spacing_jitter"]


def twice(body, tmp_path, **tags) -> None:
    """Every image plain, and compressed under the same identifier; the latter comes first."""
    name = {"change": lambda ds, number: setattr(ds, "SOPInstanceUID", f"1.2.3.{number}")}
    study = Study(**name)
    study.write_all(acquire(*body), tmp_path, "plain")
    other = Study(syntax=JPEGLSLossless, tags=tags, **name)
    other.series_uid, other.study_uid = study.series_uid, study.study_uid
    other.write_all(acquire(*body), tmp_path, "compressed")


def test_of_two_syntaxes_the_one_is_kept_that_needs_no_codec(body, tmp_path, read_here):
    twice(body, tmp_path)
    for path in tmp_path.glob("compressed*"):
        data = bytearray(path.read_bytes())
        data[-60:-20] = bytes(40)
        path.write_bytes(data)
    ct = read_here(tmp_path)
    assert np.array_equal(ct.hu, body[0])
    assert {file.file[:10] for file in ct.report.skipped} == {"compressed"}
    assert skipped(ct) == {"duplicate"}


@pytest.mark.parametrize("tags", [{"ConvolutionKernel": "BONE"}, {"AcquisitionNumber": 2}])
def test_another_reconstruction_under_one_identifier_is_no_copy(tags, body, tmp_path, read_here):
    twice(body, tmp_path, **tags)
    ct = read_here(tmp_path)
    assert [series.n_files for series in ct.report.series] == [16, 16]
    assert skipped(ct) == {"other_series"}
