"""The bundled weights on one real scan, as it is and changed.

Neither the scan nor where its levels lie is part of the repository; without them these tests are
skipped. They say what the weights do here, and nothing about other patients.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest

import cspine_zoo as cz
from benchmarks.copies import Copy, borders_mm, copies_of, misplaced, strays

FOLDER: Final = Path(__file__).parents[2] / "../shared/data/head_neck_ct"
BEST: Final = "cls-bigru-attention-lite0"
CHANGES: Final = (
    "as it is",
    "at 1 mm",
    "at 2 mm",
    "30 mm shorter above",
    "30 mm shorter below",
    "noise of 40 HU",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.exists(), reason="the real scan is not here"),
]


@pytest.fixture(scope="module")
def copies() -> Mapping[str, Copy]:
    every = copies_of(cz.read_ct(FOLDER / "head_neck_ct.zip"))
    return {copy.name: copy for copy in every if copy.name in CHANGES}


@pytest.fixture(scope="module")
def centres() -> dict[str, np.ndarray]:
    told = json.loads((FOLDER / "levels.json").read_text())["body_centre_mm"]
    return {level: np.array(centre) for level, centre in told.items()}


@pytest.mark.parametrize("name", CHANGES)
def test_levels_lie_at_their_place_and_the_patient_is_not_called_fractured(
    copies: Mapping[str, Copy], centres: dict[str, np.ndarray], name: str
) -> None:
    copy = copies[name]
    found = cz.predict(copy.ct, BEST)
    assert found.label_map is not None
    assert misplaced(found.label_map, copy.centres(centres)) == []
    assert strays(found.label_map) == []
    off_mm = borders_mm(found.label_map, copy.centres(centres))
    assert all(off is not None and abs(off) <= 4 for off in off_mm.values()), off_mm
    judged = found.predictions[0]
    assert judged.patient_overall is not None
    assert judged.patient_overall < judged.threshold
    assert {v.level for v in judged.vertebrae if v.found} >= copy.centres(centres).keys()
    called = [
        v.level
        for v in judged.vertebrae
        if v.probability is not None and v.probability >= v.threshold
    ]
    assert len(called) <= 1
