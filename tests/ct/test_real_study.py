"""One real scan in every form that it can arrive in, whole and damaged.

The scan is not part of the repository; without it these tests are skipped.
"""

from __future__ import annotations

import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from cspine_zoo.ct.inspection import summarise
from cspine_zoo.ct.read import inspect_study
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import StudyRejected
from tests.ct.conftest import Read
from tests.ct.dicom_writer import BY_GDCM, ENCAPSULATED, UNCOMPRESSED, recode

REAL_CT = Path(__file__).parents[2] / "../shared/data/head_neck_ct/head_neck_ct.zip"

pytestmark = pytest.mark.skipif(not REAL_CT.exists(), reason="the real scan is not here")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The slices, unpacked, from head to foot."""
    root = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(REAL_CT) as archive:
        archive.extractall(root)
    found = [path for path in root.rglob("*") if path.suffix == ".dcm"]
    return sorted(found, key=lambda path: -_height(path))


def _height(path: Path) -> float:
    header = pydicom.dcmread(path, specific_tags=["ImagePositionPatient"], stop_before_pixels=True)
    return float(header.ImagePositionPatient[2])


@pytest.fixture(scope="module")
def whole(files: list[Path], read_here: Read) -> CTVolume:
    return read_here(files[0].parent)


def sha256(ct: CTVolume) -> str:
    return summarise(ct.hu).sha256


def rewritten(path: Path, folder: Path, change: Callable[[pydicom.Dataset], None]) -> Path:
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(folder / path.name)
    return folder / path.name


def test_zip_is_what_the_positions_say(whole: CTVolume) -> None:
    inspection = inspect_study(REAL_CT).to_dict()
    assert inspection["volume"]["shape"] == [511, 511, 90]
    assert inspection["volume"]["spacing_mm"] == [1.0, 1.0, 3.0]
    assert inspection["volume"]["orientation"] == "RAS"
    assert inspection["volume"]["affine"][2][3] == -267.0
    assert inspection["volume"]["hu"]["min"] == -1024.0
    assert inspection["volume"]["hu"]["sha256"] == sha256(whole)
    assert inspection["series"][0]["n_files"] == 90
    assert inspection["warnings"] == inspection["skipped"] == []


def test_voxels_are_those_of_pydicom(whole: CTVolume, files: list[Path]) -> None:
    for n in (0, 44, 89):
        dataset = pydicom.dcmread(files[n])
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        # Rows run to the back and columns to the left; the top slice is the last in RAS.
        plane = np.maximum(hu, -1024).T[::-1, ::-1]
        np.testing.assert_array_equal(whole.hu[:, :, 89 - n], plane)


@pytest.mark.slow
def test_shuffled_list_with_doubles(whole: CTVolume, files: list[Path], read_here, tmp_path):
    doubled = [shutil.copy(files[k], tmp_path / f"again{k}") for k in (0, 17, 89)]
    mixed = [*files, *map(Path, doubled)]
    random.Random(3).shuffle(mixed)
    ct = read_here(mixed)
    assert sha256(ct) == sha256(whole)
    np.testing.assert_array_equal(ct.geometry.affine, whole.geometry.affine)
    assert [file.code for file in ct.report.skipped] == ["duplicate"] * 3


@pytest.mark.parametrize("missing", [[40], [40, 41, 42], [10, 60]])
def test_slices_missing_inside_are_a_gap(missing: list[int], files: list[Path], read_here) -> None:
    """3 mm apart, one missing slice already leaves more than is bridged."""
    with pytest.raises(StudyRejected) as refusal:
        read_here([path for n, path in enumerate(files) if n not in missing])
    assert refusal.value.code == "gap"


@pytest.mark.slow
def test_slices_missing_at_the_ends(whole: CTVolume, files: list[Path], read_here) -> None:
    ct = read_here(files[5:-8])
    np.testing.assert_array_equal(ct.hu, whole.hu[:, :, 8:-5])
    place = whole.geometry.to_world([0.0, 0.0, 8.0])
    np.testing.assert_allclose(ct.geometry.affine[:3, 3], place, atol=1e-6)
    assert not ct.report.warnings


@pytest.mark.parametrize(
    ("tag", "code"), [("PatientID", "several_patients"), ("StudyInstanceUID", "several_studies")]
)
def test_two_of_them_in_one_folder(tag, code, files, read_here, tmp_path):
    """Half of the files, or a single one, of somebody else."""

    def change(dataset: pydicom.Dataset) -> None:
        setattr(dataset, tag, "1.2.3.4")

    for others in (files[45:], files[:1]):
        changed = [rewritten(path, tmp_path, change) for path in others]
        with pytest.raises(StudyRejected) as refusal:
            read_here([*changed, *(path for path in files if path not in others)])
        assert refusal.value.code == code


@pytest.mark.slow
def test_a_slice_that_is_cut_off_at_the_end(whole, files, read_here, tmp_path):
    short = tmp_path / "short"
    short.write_bytes(files[0].read_bytes()[:-1000])
    ct = read_here([short, *files[1:]])
    np.testing.assert_array_equal(ct.hu, whole.hu[:, :, :-1])
    assert [file.code for file in ct.report.skipped] == ["truncated"]
    assert [notice.code for notice in ct.report.warnings] == ["files_rejected"]


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *ENCAPSULATED, *BY_GDCM])
def test_lossless_syntaxes(syntax, whole, files, read_here, tmp_path):
    for path in files:
        recode(Path(shutil.copy(path, tmp_path)), syntax)
    ct = read_here(tmp_path)
    assert sha256(ct) == sha256(whole)
    np.testing.assert_array_equal(ct.geometry.affine, whole.geometry.affine)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_nifti_of_it(name, whole, read_here, tmp_path):
    """Written as ``synthesize --format nifti`` does."""
    image = nib.Nifti1Image(whole.hu.astype(np.int16), whole.geometry.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / name)
    ct = read_here(tmp_path / name)
    assert sha256(ct) == sha256(whole)
    np.testing.assert_allclose(ct.geometry.affine, whole.geometry.affine, atol=0.01)
