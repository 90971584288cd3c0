"""Vertebrae and findings against known truth."""

from pathlib import Path

import numpy as np
import pytest

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import StudyRejected
from cspine_zoo.evaluation.findings import FindingScore, box_points, score_findings, true_fractures
from cspine_zoo.evaluation.vertebrae import score_vertebrae
from cspine_zoo.results import Finding
from cspine_zoo.rsna.boxes import Box
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.rsna.write import StudyToWrite, write_study

SHAPE = (30, 28, 36)


def geometry() -> Geometry:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-30, 10, -70)
    return Geometry(SHAPE, affine)


def spine() -> np.ndarray:
    """C3 cut by the top of the scan, C4 and C5 whole."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:20, 8:20, 4:14] = LABEL_OF["C5"]
    labels[8:20, 8:20, 18:28] = LABEL_OF["C4"]
    labels[8:20, 8:20, 32:36] = LABEL_OF["C3"]
    return labels


def centre(labels: np.ndarray, level: str) -> tuple[float, float, float]:
    x, y, z = geometry().to_world(np.argwhere(labels == LABEL_OF[level]).mean(axis=0))
    return float(x), float(y), float(z)


def test_a_perfect_prediction_scores_one_and_a_cut_vertebra_needs_no_name() -> None:
    truth = spine()
    centroids = {level: centre(truth, level) for level in ("C3", "C4", "C5")}
    scores = score_vertebrae(truth, truth, geometry(), centroids)
    assert list(scores) == ["C3", "C4", "C5"]
    assert [score.dice for score in scores.values()] == [1, 1, 1]
    assert scores["C3"].identified is None
    assert (scores["C4"].identified, scores["C5"].identified) == (True, True)
    assert scores["C5"].centroid_error_mm == pytest.approx(0)


def test_names_that_are_one_level_off_identify_nothing() -> None:
    truth = spine()
    predicted = np.where(truth == 4, 5, np.where(truth == 5, 6, 0)).astype(np.uint8)
    centroids = {"C5": centre(truth, "C4"), "C6": centre(truth, "C5")}
    scores = score_vertebrae(predicted, truth, geometry(), centroids)
    assert (scores["C4"].identified, scores["C5"].identified) == (False, False)
    assert scores["C5"].dice == 0
    assert scores["C4"].centroid_error_mm is None
    assert scores["C5"].centroid_error_mm == pytest.approx(28)


def test_dice_and_the_20_mm_rule_by_hand() -> None:
    truth = spine()
    truth[truth != 5] = 0
    predicted = np.zeros_like(truth)
    predicted[8:20, 8:20, 9:14] = 5  # half of it
    x, y, z = centre(truth, "C5")
    for offset, named in ((19.9, True), (20.1, False)):
        scores = score_vertebrae(predicted, truth, geometry(), {"C5": (x, y + offset, z)})
        assert scores["C5"].dice == pytest.approx(2 * 0.5 / 1.5)
        assert scores["C5"].identified is named
        assert scores["C5"].centroid_error_mm == pytest.approx(offset)


def finding(x: float, y: float, z: float) -> Finding:
    box = ((x - 5, y - 5, z - 1), (x + 5, y + 5, z + 1))
    return Finding("C5", 0.9, box, 3, "model")


def test_findings_name_fractures_within_10_mm() -> None:
    fractures = [np.array([[0.0, 0, 0], [0, 0, 2]]), np.array([[50.0, 0, 0]])]
    findings = [finding(9, 0, 0), finding(0, 0, 11.5), finding(50, 11, 0)]
    assert score_findings(findings, fractures) == FindingScore(2, 1, 1)
    assert score_findings([], fractures) == FindingScore(2, 0, 0)
    assert score_findings(findings, []) == FindingScore(0, 0, 3)


def written(root: Path) -> StudyRow:
    fracture = np.zeros(SHAPE, bool)
    fracture[10:12, 9, 6:9] = True
    hu = np.zeros(SHAPE, np.float32)
    study = StudyToWrite("2.25.9", hu, geometry(), {"C5": 1}, spine(), fracture)
    write_study(root, study)
    (row,) = read_layout(root)
    return row


def test_boxes_lie_around_the_fracture_in_the_patient(tmp_path: Path) -> None:
    row = written(tmp_path)
    masked = true_fractures(row, geometry())
    assert masked is not None
    boxed = true_fractures(StudyRow(row.uid, row.levels, row.images, boxes=row.boxes), geometry())
    assert boxed is not None
    assert len(masked) == len(boxed) == 1
    rim = np.array([3, 3, 0])
    # Box edges run 2 mm outside of the voxels' faces, which lie 1 mm outside of their centres.
    assert boxed[0].min(axis=0) == pytest.approx(masked[0].min(axis=0) - rim)
    assert boxed[0].max(axis=0) == pytest.approx(masked[0].max(axis=0) + rim)


def test_boxes_apart_are_two_fractures_and_a_lost_slice_is_an_error(tmp_path: Path) -> None:
    row = written(tmp_path)
    far = Box(3, 20, 20, 4, 4)
    pair = StudyRow(row.uid, row.levels, row.images, boxes=(far, *row.boxes))
    assert len(true_fractures(pair, geometry()) or []) == 2
    with pytest.raises(StudyRejected) as caught:
        box_points(Box(99, 0, 0, 1, 1), row.images)
    assert caught.value.code == "box_slice"


def test_whole_studies_have_no_fracture_and_unmarked_ones_are_unknown(tmp_path: Path) -> None:
    assert true_fractures(StudyRow("1", (0,) * 7, tmp_path), geometry()) == []
    assert true_fractures(StudyRow("1", (1,) + (0,) * 6, tmp_path), geometry()) is None
