"""The report's arithmetic on records that are written by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.findings import FindingScore
from cspine_zoo.evaluation.records import StudyRecord, read_record, record_path, write_record
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.evaluation.vertebrae import VertebraScore
from tests.evaluation.made_up import ROWS, good, prediction, record

SIX = {"auc", "accuracy", "precision", "recall", "f1", "specificity"}


def evaluated(*records: StudyRecord) -> dict[str, Any]:
    result = report(ROWS, {"m": ModelRecords(records, 0.5, 0.3)})
    json.dumps(result, allow_nan=False)
    return result


def figures(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict) and set(node) == {"value", "ci95", "n"}:
        return [node]
    return [f for child in node.values() for f in figures(child)]


def test_the_report_has_the_promised_shape() -> None:
    result = evaluated(*good())
    assert set(result) == {"n_studies", "n_missing", "models"}
    model = result["models"]["m"]
    assert set(model) == {
        "log_loss",
        "patient",
        "vertebra",
        "per_level",
        "ece",
        "twin_order",
        "findings",
        "dice",
        "identification_rate",
        "centroid_error_mm",
        "strata",
    }
    assert set(model["patient"]) == set(model["vertebra"]) == SIX
    assert list(model["per_level"]) == list(model["dice"]) == list(LEVELS)
    assert set(model["per_level"]["C1"]) == SIX
    assert set(model["findings"]) == {"recall", "false_per_study"}
    assert set(model["strata"]) == {"conspicuity", "thickness", "noise"}
    for figure in figures(model):
        assert (figure["value"] is None) <= (figure["ci95"] is None)


def test_figures_by_hand() -> None:
    result = evaluated(*good())
    model = result["models"]["m"]
    assert (result["n_studies"], result["n_missing"]) == (4, 0)
    assert model["patient"]["auc"]["value"] == 1
    assert model["patient"]["accuracy"]["value"] == 3 / 4
    assert model["patient"]["specificity"] == {"value": 0.5, "ci95": [0, 1], "n": 2}
    assert model["vertebra"]["recall"]["value"] == pytest.approx(2 / 3)
    assert model["vertebra"]["recall"]["n"] == 3
    assert model["vertebra"]["precision"]["value"] == pytest.approx(2 / 3)
    assert model["per_level"]["C1"]["auc"]["value"] is None
    assert model["twin_order"]["value"] == pytest.approx((1 + 1 / 2) / 2)
    assert model["twin_order"]["n"] == 2
    assert model["findings"]["recall"] == {"value": None, "ci95": None, "n": 0}
    assert model["dice"]["C4"] == {"value": None, "ci95": None, "n": 0}


def test_a_missing_prediction_scores_as_the_prevalence_and_is_counted() -> None:
    first, second, _, _ = good()
    failed = StudyRecord("4", "key", error={"code": "x", "file": "", "reason": "", "hint": ""})
    lost = StudyRecord("3", "key", prediction(None, C2=None, C3=0.9))
    result = evaluated(first, second, lost, failed)
    assert result["n_missing"] == 2
    model = result["models"]["m"]
    # 0.476 for both patients: a tie, and below the threshold of 0.5.
    assert model["patient"]["auc"]["value"] == pytest.approx((2 + 1 + 0.5) / 4)
    assert model["patient"]["recall"]["value"] == 0.5
    # C2 ties at the prevalence, C3 is higher in the fractured study.
    assert model["twin_order"]["value"] == pytest.approx((1 + 1 / 2) / 2)


def test_strata_are_halves_at_the_median() -> None:
    strata = evaluated(*good())["models"]["m"]["strata"]
    assert strata["conspicuity"]["median"] == {"value": 2.0, "ci95": None, "n": 2}
    low, high = strata["conspicuity"]["low"], strata["conspicuity"]["high"]
    assert low["patient"]["recall"]["n"] == high["patient"]["recall"]["n"] == 1
    assert low["patient"]["specificity"]["n"] == high["patient"]["specificity"]["n"] == 2
    assert low["vertebra"]["recall"]["value"] == 1
    assert high["vertebra"]["recall"]["value"] == 0.5
    assert strata["noise"]["median"]["value"] == 22.5
    assert strata["noise"]["low"]["patient"]["auc"]["n"] == 2


def test_displacement_is_a_stratum_of_fractures_only() -> None:
    moved = {"1": 0.5, "2": 0.0, "3": 2.5, "4": 0.0}
    rows = [
        replace(row, synthetic=replace(row.synthetic, displacement_mm=moved[row.uid]))
        for row in ROWS
        if row.synthetic is not None
    ]
    result = report(rows, {"m": ModelRecords(good(), 0.5, 0.3)})
    displacement = result["models"]["m"]["strata"]["displacement"]
    assert displacement["median"] == {"value": 1.5, "ci95": None, "n": 2}
    assert displacement["low"]["vertebra"]["recall"]["n"] == 1
    assert displacement["high"]["vertebra"]["recall"]["value"] == 0.5
    assert displacement["high"]["patient"]["specificity"]["n"] == 2


def test_findings_and_vertebrae_are_pooled_over_studies() -> None:
    boxed = (
        record("1", 0.9, localizer="loc", findings=FindingScore(1, 1, 0)),
        record("2", 0.2, localizer="loc", findings=FindingScore(0, 0, 3)),
        record(
            "3",
            0.2,
            localizer="loc",
            findings=FindingScore(2, 1, 0),
            vertebrae={"C2": VertebraScore(0.8, True, 2.0), "C3": VertebraScore(0.2, False, 12.0)},
        ),
        record("4", 0.2, localizer="loc", vertebrae={"C2": VertebraScore(0.6, None, None)}),
    )
    model = evaluated(*boxed)["models"]["m"]
    assert model["findings"]["recall"]["value"] == pytest.approx(2 / 3)
    assert model["findings"]["recall"]["n"] == 3
    assert model["findings"]["false_per_study"]["value"] == 1
    assert model["findings"]["false_per_study"]["n"] == 3
    assert (model["dice"]["C2"]["value"], model["dice"]["C2"]["n"]) == (pytest.approx(0.7), 2)
    assert (model["identification_rate"]["value"], model["identification_rate"]["n"]) == (0.5, 2)
    assert model["centroid_error_mm"]["value"] == 7


def test_the_same_records_give_the_same_report() -> None:
    assert evaluated(*good()) == evaluated(*good())


def test_records_come_back_unless_key_or_outcome_say_otherwise(tmp_path: Path) -> None:
    kept = record(
        "3",
        0.7,
        findings=FindingScore(2, 1, 0),
        vertebrae={"C2": VertebraScore(0.8, True, 2.0)},
        notes=("mask",),
    )
    path = record_path(tmp_path, "runs/my model.safetensors", "3")
    assert path.parent.name == "runs_my_model.safetensors"
    write_record(path, kept)
    assert read_record(path, "key") == kept
    assert read_record(path, "other") is None
    write_record(path, StudyRecord("3", "key", error={"code": "x"}))
    assert read_record(path, "key") is None
    path.write_text('{"uid": ')
    assert read_record(path, "key") is None
    assert read_record(tmp_path / "none.json", "key") is None
