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


def test_nine_of_ten_whole_patients_keep_all_their_vertebrae_under_the_threshold() -> None:
    """Of seven levels each, nine in ten of which would leave half of the patients uncalled."""
    rng = np.random.default_rng(4)
    broken = np.arange(400) % 2
    logits = rng.normal(-2, 1, (400, 7)) + 3 * np.eye(7)[rng.integers(0, 7, 400)] * broken[:, None]
    flags = (logits == logits.max(axis=1, keepdims=True)) & (broken[:, None] == 1)
    rows = [
        StudyRow(str(n), (b, *own), Path("nowhere"))
        for n, (b, own) in enumerate(zip(broken.tolist(), flags.astype(int).tolist(), strict=True))
    ]
    records = []
    for number, own in enumerate(probabilities_of(logits, 1.0)):
        vertebrae = [
            {"level": level, "probability": float(p)} for level, p in zip(LEVELS, own, strict=True)
        ]
        records.append(
            StudyRecord(str(number), "key", {"patient_overall": 0.5, "vertebrae": vertebrae})
        )
    found = fit(rows, records, 1.0)
    called = probabilities_of(logits, found.temperature) >= found.vertebra_threshold
    assert 0.9 <= 1 - called[broken == 0].any(axis=1).mean() < 0.95
    assert called[flags].mean() > 0.5
