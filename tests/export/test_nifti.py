from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import UsageError
from cspine_zoo.export.nifti import write_nifti
from cspine_zoo.results import LabelMap


@pytest.mark.parametrize("name", ["vertebrae.nii.gz", "vertebrae.nii"])
def test_labels_and_grid_come_back_exactly(label_map: LabelMap, tmp_path: Path, name: str) -> None:
    path = write_nifti(label_map, tmp_path / name)
    image = nib.load(path)
    assert np.array_equal(np.asarray(image.dataobj), label_map.labels)
    assert image.get_data_dtype() == np.uint8
    assert np.allclose(image.affine, label_map.geometry.affine, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_both_orientation_matrices_say_the_same(label_map: LabelMap, tmp_path: Path) -> None:
    """Some viewers read the qform, some the sform."""
    header = nib.load(write_nifti(label_map, tmp_path / "v.nii.gz")).header
    assert int(header["qform_code"]) == int(header["sform_code"]) == 1
    assert np.allclose(header.get_qform(), header.get_sform(), atol=1e-4)


def test_a_sheared_grid_leaves_the_qform_out(label_map: LabelMap, tmp_path: Path) -> None:
    affine = label_map.geometry.affine.copy()
    affine[1, 2] += 0.4
    sheared = LabelMap(label_map.labels, Geometry(label_map.labels.shape, affine))
    image = nib.load(write_nifti(sheared, tmp_path / "v.nii.gz"))
    assert int(image.header["qform_code"]) == 0
    assert np.allclose(image.affine, affine, atol=1e-5)


@pytest.mark.parametrize("name", ["vertebrae.png", "no/such/folder/vertebrae.nii.gz"])
def test_a_place_that_cannot_be_written_is_a_usage_error(
    label_map: LabelMap, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        write_nifti(label_map, tmp_path / name)
    assert refusal.value.code == "bad_output"
    assert refusal.value.hint
