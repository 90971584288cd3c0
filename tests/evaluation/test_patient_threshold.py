"""Operating points of patients who are judged by a head of their own."""

from pathlib import Path

import numpy as np
import pytest

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.calibrate import fit
from cspine_zoo.evaluation.calibration import logits_of, probabilities_of
from cspine_zoo.evaluation.records import StudyRecord
from cspine_zoo.rsna.layout import StudyRow


def _record(number: int, level: float, patient: float) -> StudyRecord:
    vertebrae = [{"level": name, "probability": level} for name in LEVELS]
    prediction = {"patient_overall": patient, "vertebrae": vertebrae}
    return StudyRecord(str(number), "key", prediction)


def test_a_threshold_lies_among_the_answers_that_it_judges() -> None:
    """Heads say .8 and .7 of two fractured patients, .3 of a whole one; levels say much less."""
    levels, heads, broken = (0.3, 0.25, 0.05), (0.8, 0.7, 0.3), (1, 1, 0)
    rows = [StudyRow(str(n), (b,) + (0,) * 6, Path("nowhere")) for n, b in enumerate(broken)]
    records = [_record(n, *pair) for n, pair in enumerate(zip(levels, heads, strict=True))]
    by_head = fit(rows, records, 1.0, "head")
    scaled = probabilities_of(logits_of(np.array(heads), 1.0), by_head.temperature)
    assert scaled[2] < by_head.patient_threshold <= scaled[1]
    by_levels = fit(rows, records, 1.0)
    assert by_levels.temperature == by_head.temperature
    assert by_levels.patient_threshold != pytest.approx(by_head.patient_threshold)
