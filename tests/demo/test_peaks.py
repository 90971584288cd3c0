"""Memory by stage: large arrays that come and go are seen in their own stage only."""

import mmap
import sys
from pathlib import Path

import pytest

from peaks import Peak, Peaks

MB = 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_each_stage_has_the_peak_of_its_own_work() -> None:
    told: list[tuple[str, float]] = []
    peaks = Peaks(lambda stage, fraction: told.append((stage, fraction)))
    peaks.report("prepare", 1.0)
    _touch(60 * MB)  # gone before it is reported
    peaks.report("segment", 0.5)
    peaks.report("segment", 1.0)
    peaks.report("classify", 1.0)
    assert told == [("prepare", 1.0), ("segment", 0.5), ("segment", 1.0), ("classify", 1.0)]
    assert list(peaks.found) == ["prepare", "segment", "classify"]
    assert all(peak.process_bytes for peak in peaks.found.values()), "the system did not count"
    more = peaks.found["segment"].process_bytes - peaks.found["classify"].process_bytes
    assert more == pytest.approx(60 * MB, abs=15 * MB)


def _touch(size: int) -> None:
    """Hold fresh memory for a moment; the allocator would give what an earlier test left behind."""
    with mmap.mmap(-1, size) as memory:
        for start in range(0, size, mmap.PAGESIZE):
            memory[start] = 1


def test_where_nothing_is_counted_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("peaks._CLEAR", tmp_path / "no" / "such")
    told: list[str] = []
    peaks = Peaks(lambda stage, fraction: told.append(stage))
    peaks.report("prepare", 1.0)
    assert told == ["prepare"]
    assert peaks.found == {"prepare": Peak()}


def test_the_larger_counts_for_each_figure_by_itself() -> None:
    assert Peak(1, 5).or_more(Peak(3, 2)) == Peak(3, 5)
