"""How reading a case ended, and the comparison with how it must end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.intake import Source, describe, take_in
from cspine_zoo.ct.read import read_ct
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError
from tests.catalogue.case import Case, Read
from tests.catalogue.workbench import Workbench


@dataclass
class Outcome:
    """All that a caller of ``read_ct`` gets.

    Attributes:
        code: of the refusal; empty if a volume was read.
        seconds: wall time.
        cpu_seconds: processor time of this process and those that it started; what another
            process of a busy machine took away is not in it.
        texts: every text that goes back to the caller.
        hint: next step of a refusal.
    """

    code: str = ""
    texts: list[str] = field(default_factory=list)
    hint: str = ""
    warnings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    hu: NDArray[np.float32] | None = None
    affine: NDArray[np.float64] | None = None

    def __str__(self) -> str:
        return (
            str(Read(frozenset(self.warnings), frozenset(self.skipped)))
            if not self.code
            else (f"refused `{self.code}`")
        )


def attempt(source: Source, series: str | int | None = None, *, apart: bool = True) -> Outcome:
    """Read a source; anything but an error of the package escapes.

    Args:
        source: what ``read_ct`` is given.
        series: likewise.
        apart: as every caller reads; False saves the start of a process and shows in full what
            should not have escaped.
    """
    start, cpu_start = time.perf_counter(), _cpu_seconds()
    try:
        if apart:
            ct = read_ct(source, series=series)
        else:
            ct = assemble(take_in(source), series, describe(source))
    except CSpineZooError as error:
        outcome = Outcome(error.code, [f"{error.file}: {error.reason}"], error.hint)
    else:
        outcome = _volume(ct)
    outcome.seconds = time.perf_counter() - start
    outcome.cpu_seconds = _cpu_seconds() - cpu_start
    return outcome


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _volume(ct: CTVolume) -> Outcome:
    report = ct.report
    texts = [*report.used, *(f"{file.file}: {file.reason}" for file in report.skipped)]
    texts += [notice.message for notice in report.warnings]
    texts += [f"{one.modality}: {one.reason}" for one in report.series]
    return Outcome(
        texts=texts,
        warnings=[notice.code for notice in report.warnings],
        skipped=[file.code for file in report.skipped],
        hu=ct.hu,
        affine=ct.geometry.affine,
    )


def check(case: Case, bench: Workbench, outcome: Outcome) -> None:
    """Assert that a case ended as it must."""
    assert str(outcome) == str(case.expect), outcome.texts
    for text in outcome.texts:
        assert "canary" not in text.lower()
        assert text.isprintable(), ascii(text)
        assert not set(text) & set("<>`"), text
        assert "](" not in text
    if outcome.code:
        assert outcome.hint  # what to do is said, always
    else:
        _check_volume(bench, outcome)
    assert outcome.cpu_seconds <= case.seconds


def _check_volume(bench: Workbench, outcome: Outcome) -> None:
    assert outcome.hu is not None
    assert outcome.affine is not None
    assert outcome.hu.shape == bench.hu.shape
    np.testing.assert_allclose(outcome.affine, bench.affine, atol=1e-3)
    expected = bench.hu.astype(np.float32)
    np.testing.assert_allclose(outcome.hu, expected, rtol=0, atol=bench.tolerance_hu)
