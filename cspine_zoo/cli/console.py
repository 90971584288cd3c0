"""Where the commands write: answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from cspine_zoo.errors import CSpineZooError

_BAR: Final = 20
_COLUMNS: Final = 80
"""Of a terminal that does not tell how wide it is."""


@dataclass
class Console:
    """The two streams of one command.

    Attributes:
        out: answers; with ``json``, one JSON value and nothing else.
        err: progress, notes and refusals.
        json: whether the caller asked for JSON.
    """

    out: TextIO
    err: TextIO
    json: bool = False
    _stage: str = field(default="", repr=False)

    def answer_json(self, value: Any) -> None:
        """Write the answer as one JSON value; never NaN or infinity."""
        self.out.write(json.dumps(value, indent=2, allow_nan=False) + "\n")

    def answer(self, text: str = "") -> None:
        """Write a line of the answer for a person."""
        self.out.write(printable(text) + "\n")

    def note(self, text: str) -> None:
        """Write a line that is not part of the answer."""
        self.end_progress()
        self.err.write(printable(text) + "\n")
        self.err.flush()

    def progress(self, stage: str, fraction: float) -> None:
        """Show how far a stage is: a bar that moves in a terminal, one line a stage in a log."""
        if self.err.isatty():
            bar = f"[{'#' * round(_BAR * fraction):.<{_BAR}}] {fraction:4.0%} {printable(stage)}"
            # A line that is wrapped could not be overwritten.
            self.err.write(f"\r\x1b[K{bar[: _columns(self.err) - 1]}")
            self.err.flush()
        elif stage != self._stage:
            self.err.write(printable(stage) + "\n")
        self._stage = stage

    def end_progress(self) -> None:
        """Leave the moving line behind."""
        if self._stage and self.err.isatty():
            self.err.write("\r\x1b[K")
        self._stage = ""

    def refuse(self, error: CSpineZooError) -> None:
        """Say what went wrong, in the form that was asked for."""
        if self.json:
            self.answer_json(error.to_dict())
        self.note(f"cspine-zoo: {error}")


def _columns(terminal: TextIO) -> int:
    return os.get_terminal_size(terminal.fileno()).columns or _COLUMNS


def printable(text: str) -> str:
    r"""Text that a terminal shows rather than obeys: names in an archive can hold anything.

    >>> printable("scan\x1b[2J.dcm")
    'scan\\x1b[2J.dcm'
    """
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first row is its heading, in columns."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
