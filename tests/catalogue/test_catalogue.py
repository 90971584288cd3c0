"""The catalogue in short: each way to end, once a section; ``make catalogue`` runs all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.catalogue.case import SECTIONS, Case
from tests.catalogue.catalogue import CASES
from tests.catalogue.outcome import attempt, check
from tests.catalogue.page import PAGE, render
from tests.catalogue.workbench import Workbench


def _one_of_each_end() -> Iterator[Case]:
    """The first case of a section that ends so; ``test_measured`` takes every case there is."""
    ends = set()
    for case in CASES:
        end = (case.section, case.expect)
        if not case.slow and end not in ends:
            ends.add(end)
            yield case


@pytest.mark.parametrize("case", list(_one_of_each_end()), ids=lambda case: case.identifier)
def test_ends_as_documented(case: Case, tmp_path) -> None:
    bench = Workbench(tmp_path)
    source = case.make(bench)
    check(case, bench, attempt(source, bench.series, apart=False))


def test_every_section_is_there_and_no_name_twice() -> None:
    assert len(CASES) >= 120
    assert {case.section for case in CASES} == set(SECTIONS)
    assert not [name for name, n in Counter(case.identifier for case in CASES).items() if n > 1]


def test_page_is_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()
