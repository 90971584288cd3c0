"""All cases of the catalogue, in the order of its page."""

from __future__ import annotations

from tests.catalogue import (
    archives,
    dicom_files,
    discs,
    fragments,
    multiframe,
    nifti_files,
    nifti_values,
    pixels,
    positions,
    studies,
    syntaxes,
)

CASES = tuple(
    case
    for module in (
        archives,
        discs,
        dicom_files,
        syntaxes,
        pixels,
        fragments,
        studies,
        positions,
        multiframe,
        nifti_files,
        nifti_values,
    )
    for case in module.SECTION.cases
)
