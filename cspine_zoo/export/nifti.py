"""Vertebra labels as NIfTI, on the grid of the study they belong to."""

from pathlib import Path

import nibabel as nib
import numpy as np

from cspine_zoo.errors import UsageError
from cspine_zoo.results import LabelMap


def write_nifti(label_map: LabelMap, path: str | Path) -> Path:
    """Write a label map, so that any viewer lays it over the scan.

    Args:
        label_map: 0 background, 1-7 C1-C7, 8 T1 and every level below.
        path: file to write, ending in ``.nii.gz`` or ``.nii``; an existing one is replaced.

    Returns:
        The path that was written.

    Raises:
        UsageError: the name has another ending, or the file cannot be written.
    """
    target = Path(path)
    if not target.name.endswith((".nii", ".nii.gz")):
        raise UsageError(
            "bad_output",
            "a NIfTI file's name ends in .nii.gz or .nii",
            file=str(path),
            hint="Name it vertebrae.nii.gz, for example.",
        )
    image = nib.Nifti1Image(label_map.labels.astype(np.uint8), label_map.geometry.affine)
    image.header.set_xyzt_units(xyz="mm")
    # Code 1, "scanner": both matrices map to the patient's own world, so no viewer has to choose.
    image.set_sform(label_map.geometry.affine, code=1)
    image.set_qform(label_map.geometry.affine, code=1)
    if not np.allclose(image.get_qform(), label_map.geometry.affine, atol=1e-3):
        image.set_qform(None, code=0)  # a quaternion cannot say a sheared grid: the sform does
    try:
        nib.save(image, target)
    except OSError as error:
        raise UsageError(
            "bad_output",
            f"the file cannot be written: {error.strerror or error}",
            file=str(path),
            hint="Choose a folder that exists and can be written to.",
        ) from error
    return target
