"""docs/catalogue.md from the cases: ``python -m tests.catalogue.page`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.catalogue.case import EXTRA_MB, SECONDS, SECTIONS, ZIP_SECONDS, Read
from tests.catalogue.catalogue import CASES

PAGE: Final = Path(__file__).parents[2] / "docs" / "catalogue.md"

_HEAD: Final = """\
# What reading does with odd and hostile input

{count} inputs, each made by a test. {read} are read: voxels and geometry are compared with what the
file holds. {refused} are refused by a code. No case ends otherwise: not by a traceback, not by a
hang, not by a wrong volume. What the codes mean is in [reading.md](reading.md#codes).

Every case ends within {seconds:g} s (a zip that is refused: {zip_seconds:g} s) and takes at most
{extra} MB more memory than reading the plain phantom. No message shows an identifier of the
patient, a control character or markup. `make catalogue` runs all of them and prints the time and
the memory of each; the table below is held equal to the tests.
"""


def render() -> str:
    """The page."""
    read = sum(isinstance(case.expect, Read) for case in CASES)
    lines = [
        _HEAD.format(
            count=len(CASES),
            read=read,
            refused=len(CASES) - read,
            seconds=SECONDS,
            zip_seconds=ZIP_SECONDS,
            extra=EXTRA_MB,
        )
    ]
    for letter, title in SECTIONS.items():
        lines += [f"## {letter}. {title}", "", "| input | outcome |", "|---|---|"]
        lines += [f"| {case.name} | {case.expect} |" for case in CASES if case.section == letter]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
