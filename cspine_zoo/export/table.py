"""Predictions as comma-separated values: one line a model and level."""

import csv
import io
from typing import Final

from cspine_zoo.anatomy import PATIENT_OVERALL
from cspine_zoo.results import ModelPrediction, StudyPrediction, VertebraPrediction

COLUMNS: Final = (
    "model",
    "level",
    "found",
    "visible_fraction",
    "probability",
    "threshold",
    "above_threshold",
    "x_mm",
    "y_mm",
    "z_mm",
)

Cell = str | float | None


def to_csv(prediction: StudyPrediction) -> str:
    """Every probability of a study as CSV text.

    Args:
        prediction: one study, any number of classifiers.

    Returns:
        A header and, for each model, one line for each of C1 to C7 and one for
        ``patient_overall``. Probabilities are those of the JSON, to the last digit; coordinates
        are the mask's centroid in world mm, RAS+. What is not known stays empty.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for model in prediction.predictions:
        for vertebra in model.vertebrae:
            table.writerow(_vertebra_row(model, vertebra))
        table.writerow(_patient_row(model))
    return text.getvalue()


def _vertebra_row(model: ModelPrediction, vertebra: VertebraPrediction) -> list[Cell]:
    centroid: tuple[Cell, ...] = (None, None, None)
    if vertebra.centroid_mm is not None:
        centroid = tuple(round(coordinate, 2) for coordinate in vertebra.centroid_mm)
    return [
        model.model,
        vertebra.level,
        _truth(vertebra.found),
        round(vertebra.visible_fraction, 4),
        vertebra.probability,
        vertebra.threshold,
        _above(vertebra.probability, vertebra.threshold),
        *centroid,
    ]


def _patient_row(model: ModelPrediction) -> list[Cell]:
    above = _above(model.patient_overall, model.threshold)
    where = (None, None, None)
    return [
        model.model,
        PATIENT_OVERALL,
        None,
        None,
        model.patient_overall,
        model.threshold,
        above,
        *where,
    ]


def _above(probability: float | None, threshold: float) -> Cell:
    return None if probability is None else _truth(probability >= threshold)


def _truth(value: bool) -> str:
    return "true" if value else "false"
