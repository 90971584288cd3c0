"""How hot a region must be to be a finding, and findings of a directory of studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cspine_zoo.errors import UsageError
from cspine_zoo.evaluation.evaluate import evaluate
from cspine_zoo.evaluation.findings import FindingScore
from cspine_zoo.evaluation.heat_point import best_point, choose_heat
from cspine_zoo.rsna.write import StudyToWrite, write_study
from cspine_zoo.zoo.model import ZooModel
from tests.evaluation.made_up import FACTS
from tests.inference.phantoms import Block, classifier, grid, paint, painted_segmenter, spine
from tests.inference.test_localize import MARK, Bright, localizer, marked

GRID = grid((2.0, 2.0, 2.0))
LABELS = paint(spine(), GRID)
C6 = spine()[5]
LURE = Block(1, tuple(np.add(C6.centre_mm, (-14.0, -10.0, 0.0))), (8.0, 6.0, 6.0))  # type: ignore[arg-type]
"""Brighter than bone, less bright than the mark, and nothing is broken there."""


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One neck with a marked fracture and a lure, and its twin without the mark."""
    root = tmp_path_factory.mktemp("studies")
    ct, mark = marked(GRID), paint([MARK], GRID) > 0
    ct.hu[paint([LURE], GRID) > 0] = 1200
    broken = StudyToWrite("2.25.1", ct.hu, GRID, {"C4": 1}, LABELS, mark, FACTS)
    whole = np.where(mark, np.float32(700), ct.hu)
    twin = FACTS | {"twin_of": "2.25.1"}
    write_study(root, broken)
    write_study(root, StudyToWrite("2.25.2", whole, GRID, {}, LABELS, None, twin))
    return root


@pytest.fixture(scope="module")
def segmenter() -> ZooModel:
    return painted_segmenter(marked(GRID), spine())


def test_the_point_lies_above_the_lure_and_below_the_mark(
    studies: Path, segmenter: ZooModel
) -> None:
    point = choose_heat(studies, localizer(Bright(5.0)), segmenter=segmenter, device="cpu")
    assert (point.recall, point.false_per_study, point.n_studies) == (1.0, 0.0, 2)
    lure, mark = (1 / (1 + np.exp(-5 * (x - 0.78))) for x in (0.9, 1.0))
    assert lure < point.least_heat <= mark


def test_findings_are_figures_where_a_localizer_runs(
    studies: Path, segmenter: ZooModel, tmp_path: Path
) -> None:
    models = [classifier("cls-tiny")]
    shared = {"segmenter": segmenter, "device": "cpu"}
    without = evaluate(studies, models, tmp_path, **shared)["models"]["cls-tiny"]["findings"]
    assert without["recall"]["value"] is without["false_per_study"]["value"] is None
    # The same directory: another localizer makes other records.
    result = evaluate(studies, models, tmp_path, localizer=localizer(), **shared)
    findings = result["models"]["cls-tiny"]["findings"]
    assert (findings["recall"]["value"], findings["recall"]["n"]) == (1.0, 1)
    assert (findings["false_per_study"]["value"], findings["false_per_study"]["n"]) == (1.0, 2)


def test_most_fractures_at_one_false_finding_then_the_highest_heat() -> None:
    loud, fair, deaf = FindingScore(2, 2, 5), FindingScore(2, 1, 1), FindingScore(2, 0, 0)
    places = [loud] * 10 + [fair] * 10 + [deaf] * 17
    point = best_point([places, places])
    assert (point.recall, point.false_per_study) == (0.5, 1.0)
    assert point.least_heat == best_point([[loud] * 10 + [fair] * 10 + [deaf] * 17]).least_heat
    assert point.least_heat > best_point([[loud] * 10 + [fair] + [deaf] * 26]).least_heat


def test_too_many_false_findings_everywhere_leave_the_highest_heat() -> None:
    assert best_point([[FindingScore(1, 1, 9)] * 37]).least_heat > 0.99


def test_without_a_fracture_there_is_no_point() -> None:
    with pytest.raises(UsageError) as caught:
        best_point([[FindingScore(0, 0, 3)] * 37])
    assert caught.value.code == "no_fractures"
