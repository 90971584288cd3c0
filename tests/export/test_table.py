import csv
import io

from cspine_zoo.export.table import COLUMNS, to_csv
from cspine_zoo.results import StudyPrediction


def _read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_line_a_model_and_level_and_one_for_the_patient(prediction: StudyPrediction) -> None:
    lines = _read(to_csv(prediction))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 2 * 8
    assert [line["level"] for line in lines[:8]] == [
        *("C1", "C2", "C3", "C4", "C5", "C6", "C7"),
        "patient_overall",
    ]
    assert {line["model"] for line in lines} == {"cls-one", "cls-<b>two</b>"}


def test_figures_are_those_of_the_prediction(prediction: StudyPrediction) -> None:
    for line in _read(prediction.to_csv()):
        model = next(m for m in prediction.predictions if m.model == line["model"])
        if line["level"] == "patient_overall":
            expected, threshold = model.patient_overall, model.threshold
        else:
            vertebra = model.vertebra(line["level"])
            expected, threshold = vertebra.probability, vertebra.threshold
        assert line["probability"] == ("" if expected is None else str(expected))
        assert float(line["threshold"]) == threshold
        if expected is not None:
            assert line["above_threshold"] == str(expected >= threshold).lower()


def test_a_level_not_found_leaves_its_cells_empty(prediction: StudyPrediction) -> None:
    first = _read(to_csv(prediction))[0]
    assert first["found"] == "false"
    assert [first[name] for name in ("probability", "above_threshold", "x_mm", "z_mm")] == [""] * 4
