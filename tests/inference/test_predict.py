"""One study, end to end, with real untrained classifiers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import cspine_zoo
from cspine_zoo import LEVELS, StudyPrediction, UsageError, compare, predict
from cspine_zoo.ct.volume import CTVolume, Notice, ReadReport, SkippedFile
from cspine_zoo.zoo.checkpoint import write
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.model import ZooModel
from tests.inference.phantoms import classifier, ct_of, grid, paint, painted_segmenter, spine

SIX = [block for block in spine() if block.label != 7]


@pytest.fixture(scope="module")
def ct() -> CTVolume:
    geometry = grid()
    volume = ct_of(paint(SIX, geometry), geometry)
    report = ReadReport(
        skipped=(SkippedFile("a.txt", "not_dicom", "text"),),
        warnings=(Notice("lossy", "compressed"),),
        seconds=1.5,
    )
    return CTVolume(volume.hu, geometry, report)


@pytest.fixture(scope="module")
def segmenter(ct: CTVolume) -> ZooModel:
    return painted_segmenter(ct, SIX)


@pytest.fixture(scope="module")
def gru() -> ZooModel:
    return classifier("cls-gru")


@pytest.fixture(scope="module")
def mean() -> ZooModel:
    return classifier("cls-mean", sequence=None, seed=1)


@pytest.fixture(scope="module")
def prediction(ct: CTVolume, gru: ZooModel, segmenter: ZooModel) -> StudyPrediction:
    return predict(ct, gru, segmenter=segmenter, precision="float32")


def test_the_json_has_exactly_the_keys_of_the_contract(prediction: StudyPrediction) -> None:
    content = json.loads(prediction.to_json())
    assert set(content) == {"schema_version", "study", "predictions"}
    assert content["schema_version"] == "1"
    study = content["study"]
    assert set(study) == {
        "shape", "spacing_mm", "orientation", "n_slices", "skipped", "warnings",
    }  # fmt: skip
    assert [w["code"] for w in study["warnings"]] == ["lossy", "level_not_found"]
    assert study["skipped"] == [{"file": "a.txt", "code": "not_dicom", "reason": "text"}]
    (result,) = content["predictions"]
    assert set(result) == {
        "model", "weights_sha256", "segmenter", "segmenter_sha256", "localizer",
        "package_version", "device", "precision", "patient_overall", "threshold", "vertebrae",
        "findings", "seconds",
    }  # fmt: skip
    assert result["localizer"] is None
    assert result["findings"] == []
    assert result["package_version"] == cspine_zoo.__version__
    assert (result["device"], result["precision"]) == ("cpu", "float32")
    assert [v["level"] for v in result["vertebrae"]] == list(LEVELS)
    for vertebra in result["vertebrae"]:
        assert set(vertebra) == {
            "level", "found", "visible_fraction", "centroid_mm", "probability", "threshold",
            "slices",
        }  # fmt: skip
        for part in vertebra["slices"]:
            assert set(part) == {"position_mm", "weight", "probability"}
    seconds = result["seconds"]
    assert set(seconds) == {"read", "prepare", "segment", "classify", "total"}
    assert seconds["read"] == 1.5
    parts = [seconds[stage] for stage in ("read", "prepare", "segment", "classify")]
    assert seconds["total"] == pytest.approx(sum(parts))


def test_a_level_that_was_not_found_has_no_probability(prediction: StudyPrediction) -> None:
    seven = prediction.predictions[0].vertebra("C7")
    assert (seven.found, seven.probability, seven.centroid_mm, seven.slices) == (
        False, None, None, (),
    )  # fmt: skip


def test_probabilities_are_calibrated_and_add_up(prediction: StudyPrediction) -> None:
    result = prediction.predictions[0]
    found = [v for v in result.vertebrae if v.found]
    assert len(found) == 6
    assert {v.threshold for v in result.vertebrae} == {0.4}
    assert result.threshold == 0.6
    whole = math.prod(1 - v.probability for v in found if v.probability is not None)
    assert result.patient_overall == pytest.approx(1 - whole)
    for vertebra in found:
        assert vertebra.probability is not None
        weights = [part.weight or 0.0 for part in vertebra.slices]
        # Temperature 2: the vertebra's logit over 2 is the weighted mean of its slices'.
        logits = [
            math.log(p.probability / (1 - p.probability)) for p in vertebra.slices if p.probability
        ]
        assert sum(weights) == pytest.approx(1, abs=1e-5)
        mean = sum(w * logit for w, logit in zip(weights, logits, strict=True))
        logit = math.log(vertebra.probability / (1 - vertebra.probability))
        assert logit == pytest.approx(mean, abs=1e-4)


def test_slices_lie_within_their_vertebra(prediction: StudyPrediction) -> None:
    for block, vertebra in zip(SIX[:6], prediction.predictions[0].vertebrae[:6], strict=True):
        heights = [part.position_mm for part in vertebra.slices]
        assert heights == sorted(heights)
        assert np.mean(heights) == pytest.approx(block.centre_mm[2], abs=1.5)
        assert max(heights) - min(heights) < 13


def test_twice_gives_the_same(
    ct: CTVolume, gru: ZooModel, segmenter: ZooModel, prediction: StudyPrediction
) -> None:
    again = predict(ct, gru, segmenter=segmenter, precision="float32")
    one, other = prediction.to_dict(), again.to_dict()
    for content in (one, other):
        content["predictions"][0].pop("seconds")
    assert one == other
    assert prediction.label_map is not None
    assert again.label_map is not None
    np.testing.assert_array_equal(prediction.label_map.labels, again.label_map.labels)


def test_bfloat16_moves_probabilities_little(
    ct: CTVolume, gru: ZooModel, segmenter: ZooModel, prediction: StudyPrediction
) -> None:
    half = predict(ct, gru, segmenter=segmenter, precision="bfloat16")
    assert half.predictions[0].precision == "bfloat16"
    for level in LEVELS[:6]:
        exact = prediction.predictions[0].vertebra(level).probability
        assert half.predictions[0].vertebra(level).probability == pytest.approx(exact, abs=0.01)


def test_memory_layout_does_not_change_the_answer(
    ct: CTVolume, gru: ZooModel, segmenter: ZooModel, prediction: StudyPrediction
) -> None:
    stored = np.ascontiguousarray(ct.hu.T[:, ::-1, ::-1])
    other = CTVolume(stored[:, ::-1, ::-1].T, ct.geometry)
    again = predict(other, gru, segmenter=segmenter, precision="float32")
    for level in LEVELS[:6]:
        expected = prediction.predictions[0].vertebra(level).probability
        assert again.predictions[0].vertebra(level).probability == pytest.approx(expected, abs=1e-4)


def test_compare_equals_predicting_one_by_one(
    ct: CTVolume, gru: ZooModel, mean: ZooModel, segmenter: ZooModel, prediction: StudyPrediction
) -> None:
    told: list[tuple[str, float]] = []
    table = compare(
        ct, [gru, mean], segmenter=segmenter, precision="float32",
        progress=lambda stage, share: told.append((stage, share)),
    )  # fmt: skip
    assert table.models() == ("cls-gru", "cls-mean")
    alone = prediction.predictions[0]
    assert table.predictions[0].patient_overall == alone.patient_overall
    assert table.predictions[0].vertebrae == alone.vertebrae
    assert table.probabilities("C7") == (None, None)
    stages = [stage for stage, _ in told]
    assert list(dict.fromkeys(stages)) == ["prepare", "segment", "classify"]
    for stage in dict.fromkeys(stages):
        shares = [share for name, share in told if name == stage]
        assert shares == sorted(shares)
        assert shares[-1] == 1


def refused(code: str) -> pytest.RaisesExc[UsageError]:
    return pytest.RaisesExc(UsageError, check=lambda error: error.code == code)


def test_wrong_requests_are_refused(ct: CTVolume, gru: ZooModel, segmenter: ZooModel) -> None:
    other = classifier("cls-other", sequence=None, segmenter="seg-other")
    with refused("wrong_task"):
        predict(ct, segmenter, segmenter=segmenter)
    with refused("wrong_task"):
        predict(ct, gru, segmenter=gru)
    with refused("different_segmenters"):
        compare(ct, [gru, other])
    with refused("same_model_twice"):
        compare(ct, [gru, gru], segmenter=segmenter)
    with refused("no_model"):
        compare(ct, [], segmenter=segmenter)
    with refused("unknown_model"):
        predict(ct, "cls-there-is-none")
    with refused("unknown_model"):
        predict(ct, gru, segmenter=segmenter, localizer="loc-there-is-none")
    with refused("wrong_task"):
        predict(ct, gru, segmenter=segmenter, localizer=segmenter)
    with refused("not_a_volume"):
        predict("study.zip", gru)  # type: ignore[arg-type]
    with refused("unknown_precision"):
        predict(ct, gru, segmenter=segmenter, precision="half")


def test_the_path_of_a_checkpoint_is_as_good_as_a_name(
    ct: CTVolume, mean: ZooModel, segmenter: ZooModel, tmp_path: Path
) -> None:
    path = tmp_path / "own.safetensors"
    write(mean.network, mean.entry, path, half=False)
    by_path = predict(ct, path, segmenter=segmenter, precision="float32")
    loaded = predict(ct, load_model(str(path)), segmenter=segmenter, precision="float32")
    assert by_path.predictions[0].vertebrae == loaded.predictions[0].vertebrae
    assert len(by_path.predictions[0].weights_sha256) == 64
