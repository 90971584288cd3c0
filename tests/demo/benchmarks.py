"""Stored evaluations that are made up: one variant knows something, one guesses."""

import numpy as np

import cspine_zoo as cz
from cspine_zoo.evaluation.outcomes import StudyFacts
from cspine_zoo.evaluation.stored import StoredRecord
from cspine_zoo.zoo.manifest import OperatingPoint

DATASET = "twenty synthetic studies"
COMMAND = "cspine-zoo evaluate --data DIR --model NAME --out DIR"


def studies(n: int = 20) -> tuple[StudyFacts, ...]:
    """In pairs of twins, C5 fractured in the first of each."""
    rows = []
    for at in range(n):
        fractured = at % 2 == 0
        truth = tuple(int(fractured and level == "C5") for level in cz.LEVELS)
        conspicuity = float(at + 1) if fractured else None
        twin = at + 2 if fractured else at
        rows.append(StudyFacts(at + 1, twin, truth, conspicuity, thickness_mm=1.0 + at / 10))
    return tuple(rows)


def stored(name: str, skill: float = 1.0, n: int = 20) -> cz.StoredEvaluation:
    """Probabilities rise with ``skill`` where there is a fracture."""
    noise = np.random.default_rng(0).normal(0, 1, (n, 8))
    made = studies(n)
    truth = np.array([[*study.truth, max(study.truth)] for study in made])
    p = 1 / (1 + np.exp(2 - noise - 4 * skill * truth))
    record = StoredRecord(
        name=name,
        weights_sha256="ab" * 32,
        dataset=DATASET,
        command=COMMAND.replace("NAME", name),
        studies=made,
        probabilities=tuple(tuple(float(value) for value in row) for row in p),
    )
    return cz.StoredEvaluation(record, OperatingPoint(0.5, 0.3, "made up"))
