"""The table of the catalogue, printed after its cases were measured."""

from __future__ import annotations

import pytest

HEADER = ("", "case", "outcome", "s", "MB")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for state in ("passed", "failed")
        for report in terminalreporter.getreports(state)
        if isinstance(report, pytest.TestReport)
    ]
    rows = [
        value for report in reports for name, value in report.user_properties if name == "catalogue"
    ]
    if not rows:
        return
    table = [HEADER, *sorted(map(tuple, rows))]
    widths = [max(len(row[n]) for row in table) for n in range(len(HEADER))]
    terminalreporter.section("catalogue")
    for row in table:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        terminalreporter.write_line(line.rstrip())
