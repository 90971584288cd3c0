"""What is copied into a report of trouble tells everything about the program, nothing of a scan."""

from dataclasses import replace

import cspine_zoo as cz
from cspine_zoo.ct.volume import Notice, ReadReport, SkippedFile
from diagnostics import diagnostics
from jobs import Failure
from peaks import Peak
from tests.demo.neck import comparison, neck

CANARY = "Doe^Jane"


def test_facts_are_there_and_no_name_is() -> None:
    ct, _ = neck()
    report = ReadReport(
        used=(f"{CANARY}.dcm",),
        skipped=tuple(SkippedFile(f"{CANARY}{n}", "not_an_image", f"{CANARY}?") for n in range(2)),
        warnings=(Notice("gantry_tilt", f"{CANARY} is tilted"),),
        seconds=1.5,
    )
    result = comparison()
    study = replace(result.study, warnings=(Notice("level_uncertain", CANARY),))
    told = diagnostics(
        replace(ct, report=report),
        replace(result, study=study),
        [Failure("no_ct", f"{CANARY} is no CT", f"{CANARY}.zip", CANARY)],
        {"segment": Peak(2_500_000_000)},
    )
    assert CANARY not in told
    for fact in (
        f"cspine_zoo {cz.__version__}",
        "torch ",
        "64 x 72 x 96",
        "skipped: not_an_image 2",
        "gantry_tilt 1",
        "level_uncertain 1",
        "cpu, float32: prepare 0.4 s, segment 3.2 s, classify 0.8 s",
        "most memory, segment: 2.50 GB",
        "failed: no_ct",
    ):
        assert fact in told


def test_a_refusal_alone_is_told_too() -> None:
    lines = diagnostics(None, None, [Failure("internal_error", "x", details="trace\nback")])
    assert lines.splitlines()[2:] == ["failed: internal_error", "trace", "back"]
