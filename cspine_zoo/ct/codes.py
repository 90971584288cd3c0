"""Every code that reading a study can give, once: what it means and what to do about it."""

from __future__ import annotations

from typing import Final, NamedTuple

from cspine_zoo.errors import StudyRejected


class Ruling(NamedTuple):
    """What one code stands for.

    Attributes:
        outcome: ``"rejected"`` (the study, or one file of it), ``"skipped"`` (a file or a series
            that is no part of the volume), or ``"warning"`` (the volume was read).
        meaning: when the code is given.
        hint: the next step of the user; empty where there is none.
    """

    outcome: str
    meaning: str
    hint: str = ""


_EXPORT_AGAIN = "Export the series again as DICOM or NIfTI."
_UNCOMPRESSED = "Export the series again without compression (Explicit VR Little Endian)."
_ONE_SERIES = "Pass series= with the index or the UID of the one to read."

RULINGS: Final[dict[str, Ruling]] = {
    # The source as a whole.
    "not_found": Ruling("rejected", "the path does not exist", "Check the path."),
    "unreadable": Ruling("rejected", "the operating system refuses access", "Check permissions."),
    "no_dicom": Ruling(
        "rejected",
        "nothing in the source is DICOM or NIfTI",
        "Give a folder or zip of DICOM files, or one NIfTI file.",
    ),
    "bad_zip": Ruling(
        "rejected",
        "the archive, or an entry of it, is damaged or contradicts itself",
        "Make or download the zip again.",
    ),
    "encrypted_zip": Ruling(
        "rejected", "the archive is password protected", "Unpack it and give the folder."
    ),
    "zip_method": Ruling(
        "rejected",
        "an entry is compressed by a method other than stored or deflate",
        "Make the zip again with the usual method (deflate).",
    ),
    "zip_bomb": Ruling(
        "rejected", "entries overlap or unpack to implausibly much", "Pack the files again."
    ),
    "too_many_files": Ruling(
        "rejected", "more than 20,000 files", "Give the folder of one series."
    ),
    "too_large": Ruling(
        "rejected", "a file, the study or the volume exceeds the limits", "Give one series only."
    ),
    "too_slow": Ruling(
        "rejected", "reading took more than 300 s of processor time", "Give one series only."
    ),
    "reader_died": Ruling(
        "rejected",
        "the process that read the study was ended, by its memory limit or by a decoder's defect",
        _EXPORT_AGAIN,
    ),
    "reader_failed": Ruling(
        "rejected",
        "the reader has a defect that this study shows",
        "Report it with the place that the message names.",
    ),
    "not_a_zip": Ruling(
        "rejected", "tar, 7z, rar or another archive that is not a zip", "Use a zip instead."
    ),
    # Single DICOM files.
    "bad_header": Ruling("rejected", "the header breaks the rules of DICOM", _EXPORT_AGAIN),
    "missing_tag": Ruling("rejected", "a tag that CT needs is missing or empty", _EXPORT_AGAIN),
    "header_too_large": Ruling(
        "rejected", "the header is longer than 16 MiB or nested deeper than 64", _EXPORT_AGAIN
    ),
    "bad_rescale": Ruling(
        "rejected", "slope or intercept cannot give Hounsfield units", _EXPORT_AGAIN
    ),
    "truncated": Ruling("rejected", "the file ends before its content does", "Copy it again."),
    "unsupported_syntax": Ruling("rejected", "a transfer syntax that is not read", _UNCOMPRESSED),
    "unsupported_pixels": Ruling("rejected", "a pixel format that is not read", _UNCOMPRESSED),
    "bad_pixels": Ruling("rejected", "the compressed pixels cannot be decoded", _UNCOMPRESSED),
    # Series and volumes.
    "not_ct": Ruling(
        "rejected", "images of another modality", "Only CT is read; give the CT series."
    ),
    "several_patients": Ruling(
        "rejected", "images of more than one patient", f"Give one patient's study. {_ONE_SERIES}"
    ),
    "several_studies": Ruling(
        "rejected", "images of more than one study", f"Give one study. {_ONE_SERIES}"
    ),
    "several_volumes": Ruling("rejected", "more than one NIfTI file", "Give one of them."),
    "too_few_slices": Ruling(
        "rejected",
        "fewer than 16 slices or 40 mm along some axis",
        "Give the whole series, not single images of it.",
    ),
    "too_many_slices": Ruling(
        "rejected", "more than 1,500 slices", "Crop the scan to the neck, or give a thicker series."
    ),
    "gap": Ruling(
        "rejected", "slices are missing inside the volume", "Export the complete series."
    ),
    "uneven_spacing": Ruling(
        "rejected", "the slices do not lie at one constant distance", _EXPORT_AGAIN
    ),
    "duplicate_position": Ruling(
        "rejected", "different images at one position", "Give one acquisition or phase only."
    ),
    "bad_geometry": Ruling(
        "rejected", "orientation, position or spacing is impossible", _EXPORT_AGAIN
    ),
    # NIfTI.
    "bad_nifti": Ruling("rejected", "the NIfTI file contradicts itself", "Convert it again."),
    "not_3d": Ruling("rejected", "not one scalar 3D volume", "Give one 3D volume."),
    "nifti_pair": Ruling(
        "rejected", "Analyze, or NIfTI as .hdr and .img", "Convert it to one .nii file."
    ),
    "orientation_unknown": Ruling(
        "rejected",
        "neither qform nor sform says how the scan lies in the patient",
        "Convert it again from DICOM, for example with dcm2niix.",
    ),
    "not_hu": Ruling(
        "rejected", "the values are not Hounsfield units", "Give the scan without normalisation."
    ),
    # Files and series that are set aside.
    "not_dicom": Ruling("skipped", "neither DICOM nor NIfTI nor a zip"),
    "clutter": Ruling("skipped", "left behind by an operating system"),
    "dicomdir": Ruling("skipped", "a DICOMDIR index; the files themselves are read instead"),
    "special_entry": Ruling("skipped", "a link or device, not a plain file"),
    "nested_zip": Ruling("skipped", "a zip inside a zip inside a zip"),
    "not_image": Ruling("skipped", "a DICOM object that is not an image (report, contour, ...)"),
    "secondary_capture": Ruling("skipped", "a colour picture or screen capture"),
    "localizer": Ruling("skipped", "a localizer (scout)"),
    "projection": Ruling("skipped", "a projection or rendering, not HU of a slice"),
    "other_series": Ruling("skipped", "belongs to a series that was not chosen"),
    "duplicate": Ruling("skipped", "the same image is there twice"),
    "nifti_beside_dicom": Ruling("skipped", "NIfTI next to DICOM; the DICOM series is read"),
    # Notices: the volume was read.
    "files_rejected": Ruling("warning", "files that could not be read were left out"),
    "gap_filled": Ruling("warning", "a missing slice was interpolated from its neighbours"),
    "spacing_jitter": Ruling("warning", "slice positions deviate a little from a regular grid"),
    "tilt_corrected": Ruling("warning", "slices were shifted in plane to undo a gantry tilt"),
    "lossy": Ruling("warning", "the images went through lossy compression"),
    "monochrome1": Ruling("warning", "MONOCHROME1: the display is inverted, HU are not"),
    "derived": Ruling("warning", "only derived images (such as reformats) are there"),
    "affines_differ": Ruling("warning", "qform and sform differ; sform was used"),
    "not_finite": Ruling("warning", "NaN or infinite voxels were set to air"),
    "unit_assumed": Ruling("warning", "NIfTI in metres or microns; converted to mm"),
}


class Problem(Exception):
    """Why one file or one series cannot be used; never leaves ``cspine_zoo.ct``."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code}: {reason}")


def rejected(code: str, reason: str, file: str = "") -> StudyRejected:
    """The refusal of a study, with the hint that belongs to ``code``."""
    # A study of nothing but files that are set aside: they themselves need nothing done to them.
    hint = RULINGS[code].hint or "Give the folder of the axial CT series."
    return StudyRejected(code, reason, file=file, hint=hint)
