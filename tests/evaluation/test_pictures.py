"""Cuts through a study whose left, front and top are known."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import StudyRejected
from cspine_zoo.evaluation.pictures import Pictures, draw_vertebra
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.rsna.write import StudyToWrite, write_study

SHAPE = (60, 60, 70)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> StudyRow:
    """C4 in soft tissue; bright blocks right of it and in front, and in front of it and above."""
    root = tmp_path_factory.mktemp("study")
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-50, 20, -300)
    hu = np.full(SHAPE, 40.0, np.float32)
    labels, fracture = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool)
    labels[24:37, 24:37, 31:40] = LABEL_OF["C4"]
    fracture[28:31, 29:32, 34:37] = True
    hu[labels > 0] = 500
    hu[42:50, 44:52, 33:38] = 3000  # right of C4 and in front of it
    hu[27:34, 44:52, 50:60] = 3000  # in front of it and above
    study = StudyToWrite("2.25.4", hu, Geometry(SHAPE, affine), {"C4": 1}, labels, fracture)
    write_study(root, study)
    (row,) = read_layout(root)
    return row


@pytest.fixture(scope="module")
def drawn(row: StudyRow) -> Pictures:
    return draw_vertebra(row, "C4", centroid_mm=(10.0, 80.0, -230.0))


def pixels(address: str) -> NDArray[np.int64]:
    head, content = address.split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(np.int64)


def brightest_quarter(picture: NDArray[np.int64]) -> tuple[str, str]:
    """Where the white block is: everything else is grey or coloured."""
    rows, columns = np.nonzero(picture.min(axis=2) > 240)
    height, width = picture.shape[:2]
    return (
        "top" if rows.mean() < height / 2 else "bottom",
        "left" if columns.mean() < width / 2 else "right",
    )


def test_cuts_are_radiological(drawn: Pictures) -> None:
    # The patient's right on the left, anterior on top.
    assert brightest_quarter(pixels(drawn.axial)) == ("top", "left")
    # Anterior on the left, the head up.
    assert brightest_quarter(pixels(drawn.sagittal)) == ("top", "left")


@pytest.mark.slow
def test_truth_and_the_predicted_centre_are_marked(drawn: Pictures, row: StudyRow) -> None:
    assert (drawn.truth, drawn.fracture) == (True, True)
    bare = replace(row, segmentation=None, fractures=None)
    plain = draw_vertebra(bare, "C4", centroid_mm=(10.0, 80.0, -230.0))
    assert (plain.truth, plain.fracture) == (False, False)

    def red(address: str) -> int:
        picture = pixels(address)
        return int(((picture[..., 0] - picture[..., 1:].max(axis=2)) > 90).sum())

    def yellow(address: str) -> int:
        picture = pixels(address)
        return int(((picture[..., :2].min(axis=2) - picture[..., 2]) > 60).sum())

    assert red(drawn.axial) > 20 > red(plain.axial)
    assert yellow(plain.axial) > 5


@pytest.mark.slow
def test_a_vertebra_that_nobody_places_cannot_be_drawn(row: StudyRow) -> None:
    with pytest.raises(StudyRejected) as caught:
        draw_vertebra(row, "C6", centroid_mm=None)
    assert caught.value.code == "vertebra_unknown"


def test_a_study_that_is_gone_is_a_refusal(row: StudyRow, tmp_path: Path) -> None:
    with pytest.raises(StudyRejected):
        draw_vertebra(replace(row, images=tmp_path / "none"), "C4", None)
