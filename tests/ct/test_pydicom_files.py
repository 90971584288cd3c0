"""pydicom's own test files, each alone and all at once: read, or refused by a code."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.codes import RULINGS
from cspine_zoo.ct.intake import take_in
from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import StudyRejected

DATA = Path(pydicom.__file__).parent / "data"
FILES = sorted(
    path for path in DATA.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
)


def identifier(path: Path) -> str:
    return path.relative_to(DATA).as_posix()


def ending(source: Path) -> str:
    """The code of the refusal, in this process: another error shows where it came from."""
    try:
        assemble(take_in(source), None, "")
    except StudyRejected as error:
        return error.code
    return "read"


@pytest.fixture(scope="module")
def endings() -> dict[str, str]:
    return {identifier(path): ending(path) for path in FILES}


@pytest.mark.parametrize("name", [identifier(path) for path in FILES])
def test_each_ends_with_a_code(name: str, endings: dict[str, str]) -> None:
    # Single slices, localizers, other modalities: there is no volume among them.
    assert endings[name] in RULINGS


def test_what_they_are_is_told(endings: dict[str, str]) -> None:
    known = {
        "CT_small.dcm": "too_few_slices",
        "JPEG2000-embedded-sequence-delimiter.dcm": "secondary_capture",
        "JPGExtended.dcm": "unsupported_syntax",
        "MR_small.dcm": "not_ct",
        "SC_rgb_jpeg.dcm": "secondary_capture",
        "dicomdirtests/DICOMDIR-bigEnd": "dicomdir",
        "priv_SQ.dcm": "missing_tag",
        "rtplan.dcm": "not_image",
        "rtplan_truncated.dcm": "truncated",
        "test-SR.dcm": "not_image",
        "zipMR.gz": "not_a_zip",
    }
    found = {name: endings[f"test_files/{name}"] for name in known}
    assert found == known
    assert len(endings) > 150


def test_all_at_once() -> None:
    """As every caller reads: of many patients and kinds, no CT volume."""
    with pytest.raises(StudyRejected) as info:
        read_ct(DATA)
    assert info.value.code in RULINGS
