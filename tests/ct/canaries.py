"""DICOM files in which every attribute that could identify somebody holds a word to look for.

PS3.15 table E.1-1 lists some 600 attributes. What is planted here is wider: every attribute of
the data dictionary whose value representation can hold a name, an id, a date, an address or free
text, at the top level and in sequences, private and repeating groups; and the identifiers that
the reader itself compares.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from cspine_zoo.ct.tags import KEYWORDS

WORD: Final = "Canary"
UID: Final = "1.2.826.0.1.424242424242"
DAY: Final = "18880808"
CLOCK: Final = "111213.141516"
NUMBER: Final = "98765.432"

NEEDLES: Final = (WORD.lower(), "424242424242", DAY, "141516", NUMBER)
"""What must not be found, in lower case."""

VALUES: Final = {
    "AE": f"{WORD}AE",
    "AS": "111Y",
    "CS": f"{WORD.upper()}_CS",
    "DA": DAY,
    "DS": NUMBER,
    "DT": DAY + CLOCK,
    "LO": f"{WORD} lo",
    "LT": f"{WORD} lt",
    "OB": WORD.encode(),
    "PN": f"{WORD}^Jane",
    "SH": f"{WORD} sh",
    "ST": f"{WORD} st",
    "TM": CLOCK,
    "UC": f"{WORD} uc",
    "UI": UID,
    "UN": WORD.encode(),
    "UR": f"http://{WORD}.example",
    "UT": f"{WORD} ut",
}

# What decides how the pixels are read, or which kind of object it is.
_NEEDED: Final = frozenset(KEYWORDS) | {0x00080005, 0x00080001, 0x00189004}
_LAST_GROUP: Final = 0x7FE0


@cache
def identifying() -> list[tuple[int, str]]:
    """Tag and value representation of every attribute that gets a canary."""
    found = [
        (tag, vr)
        for tag, (vr, *_) in DicomDictionary.items()
        if vr in VALUES and tag not in _NEEDED and 0x0008 <= tag >> 16 < _LAST_GROUP
    ]
    return [(tag, vr) for tag, vr in found if tag & 0xFFFF]  # no group lengths


def plant(ds: Dataset, number: int = 0) -> None:
    """Fill a data set with canaries, without a change to pixels or geometry.

    Slices 0 and 1, 8 and 9, and so on get all, the others some: pydicom is slow with thousands.
    """
    for tag, vr in identifying()[:: 1 if number % 8 < 2 else 25]:
        ds[tag] = DataElement(tag, vr, VALUES[vr])
    ds.PatientName, ds.PatientID = VALUES["PN"], VALUES["LO"]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{UID}.1", f"{UID}.2"
    ds.SOPInstanceUID = f"{UID}.3.{number}"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", VALUES["CS"]]
    ds.ConvolutionKernel = VALUES["SH"]
    ds.AcquisitionNumber = 1
    block = ds.private_block(0x0011, f"{WORD} private", create=True)
    for element, vr in enumerate(("LO", "PN", "DA", "UI", "UN"), start=1):
        block.add_new(element, vr, VALUES[vr])
    ds[0x60000010] = DataElement(0x60000010, "US", 1)
    ds[0x60004000] = DataElement(Tag(0x6000, 0x4000), "LT", VALUES["LT"])
    ds[0x50000022] = DataElement(Tag(0x5000, 0x0022), "LO", VALUES["LO"])
    inner = Dataset()
    for tag, vr in identifying()[:: 7 if number % 8 < 2 else 50]:
        inner[tag] = DataElement(tag, vr, VALUES[vr])
    outer = Dataset()
    outer.ModifiedAttributesSequence = [inner]
    for keyword in (
        "OtherPatientIDsSequence",
        "OriginalAttributesSequence",
        "RequestAttributesSequence",
        "ReferencedStudySequence",
        "SharedFunctionalGroupsSequence",
    ):
        setattr(ds, keyword, [outer])


def found_in(content: object) -> list[str]:
    """The canaries in text or bytes."""
    text = content.decode("latin-1") if isinstance(content, bytes) else str(content)
    return [needle for needle in NEEDLES if needle in text.lower()]
