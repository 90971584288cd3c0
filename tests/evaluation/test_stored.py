"""An evaluation that the package keeps says what the evaluation said, and of these weights only."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cspine_zoo.errors import ManifestError, UsageError, WeightsError
from cspine_zoo.evaluation.outcomes import Outcomes, read_outcomes
from cspine_zoo.evaluation.paired import compare_models
from cspine_zoo.evaluation.report import ModelRecords, report
from cspine_zoo.evaluation.stored import (
    StoredEvaluation,
    carry_over,
    find_stored,
    read_stored,
    record_of,
    stored_evaluation,
    stored_path,
    write_stored,
)
from cspine_zoo.zoo.manifest import ManifestEntry, Metric, OperatingPoint, read_manifest
from tests.evaluation.made_up import ROWS, good, record

NAME, OTHER = "cls-cnn-lite0", "cls-bigru-lite0"
SHA = "ab" * 32


def _records(shift: float = 0.0) -> ModelRecords:
    records = good()
    if shift:
        records = (record("1", 0.5, C5=0.3), *records[1:3], record("4", None, C2=0.4))
    for own in records:
        assert own.prediction is not None
        own.prediction["weights_sha256"] = SHA
    return ModelRecords(records, 0.5, 0.4)


def _entry(name: str = NAME) -> ManifestEntry:
    row = read_manifest()[name]
    metric = Metric("four studies", "vertebra auc", 0.5, None, "cspine-zoo evaluate ...")
    file = replace(row.files[0], sha256=SHA)
    point = OperatingPoint(0.5, 0.4, "nothing")
    return replace(row, metrics=(metric,), operating_point=point).with_files(file)


def _outcomes() -> Outcomes:
    return Outcomes.gather(ROWS, {NAME: _records(), OTHER: _records(0.1)})


def _stored(folder: Path, name: str = NAME) -> StoredEvaluation:
    kept = record_of(_entry(name), _outcomes(), name, SHA)
    assert kept is not None
    write_stored(kept, stored_path(name, folder))
    found = find_stored(_entry(name), folder)
    assert found is not None
    return found


def test_figures_from_the_store_are_those_of_the_evaluation(tmp_path: Path) -> None:
    expected = report(ROWS, {NAME: _records()})["models"][NAME]
    stored = _stored(tmp_path)
    assert stored.figures == expected
    assert stored.confusion("C5").hits == 1
    curve = stored.roc("patient")
    assert curve is not None
    assert (curve.x[-1], curve.y[-1]) == (1, 1)
    assert stored.roc("C7") is None  # nobody's is fractured
    assert sum(each.fractured["n"] for each in stored.reliability) == 28
    with pytest.raises(UsageError) as caught:
        stored.roc("C9")
    assert caught.value.code == "unknown_unit"


def test_two_are_compared_as_the_evaluation_compared_them(tmp_path: Path) -> None:
    (expected,) = compare_models(ROWS, {NAME: _records(), OTHER: _records(0.1)})
    first, second = _stored(tmp_path), _stored(tmp_path, OTHER)
    assert {"first": NAME, "second": OTHER, **first.differences(second)} == expected
    fewer = replace(
        second.record,
        studies=second.studies[:2],
        probabilities=second.record.probabilities[:2],
    )
    with pytest.raises(UsageError) as caught:
        first.differences(StoredEvaluation(fewer, second.thresholds))
    assert caught.value.code == "not_paired"


def test_what_is_kept_names_nobody_and_reads_back(tmp_path: Path) -> None:
    rows = tuple(replace(row, uid=f"1.2.840.{row.uid}") for row in ROWS)
    outcomes = Outcomes.gather(rows, {NAME: _records()})
    path = tmp_path / "studies.json"
    path.write_text(json.dumps(outcomes.to_dict()))
    assert "1.2.840" not in path.read_text()
    assert read_outcomes(path) == outcomes
    assert [study.twin for study in _outcomes().studies] == [None, 1, None, 3]
    with pytest.raises(UsageError) as caught:
        read_outcomes(tmp_path / "none.json")
    assert caught.value.code == "no_evaluation"


def test_of_real_studies_nothing_is_kept() -> None:
    rows = (*ROWS[:3], replace(ROWS[3], synthetic=None))
    outcomes = Outcomes.gather(rows, {NAME: _records()})
    assert record_of(_entry(), outcomes, NAME, SHA) is None


def test_an_evaluation_of_other_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as at_bundling:
        record_of(_entry(), _outcomes(), NAME, "cd" * 32)
    assert at_bundling.value.code == "evaluation_of_other_weights"
    _stored(tmp_path)
    other = _entry().with_files(replace(_entry().files[0], sha256="cd" * 32))
    with pytest.raises(WeightsError) as at_reading:
        find_stored(other, tmp_path)
    assert at_reading.value.code == "evaluation_of_other_weights"


def test_the_same_network_in_a_new_file_keeps_its_evaluation(tmp_path: Path) -> None:
    path = stored_path(NAME, tmp_path)
    _stored(tmp_path)
    carry_over(NAME, tmp_path, SHA, "cd" * 32)
    moved = read_stored(path)
    assert moved is not None
    assert moved.weights_sha256 == "cd" * 32
    carry_over(NAME, tmp_path, "ef" * 32, "01" * 32)
    assert not path.exists()


@pytest.mark.parametrize(
    ("key", "value"), [("probabilities", [[0.5] * 8]), ("studies", [{"number": 1}]), ("extra", 1)]
)
def test_a_damaged_file_is_refused(tmp_path: Path, key: str, value: object) -> None:
    _stored(tmp_path)
    path = stored_path(NAME, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ManifestError):
        find_stored(_entry(), tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    stored_path(NAME, tmp_path).write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError):
        find_stored(_entry(), tmp_path)


def test_rows_without_an_evaluation_have_none(tmp_path: Path) -> None:
    assert find_stored(_entry(), tmp_path) is None
    assert stored_evaluation("seg-unet3d-small") is None
    with pytest.raises(UsageError):
        stored_evaluation("no-such-model")
