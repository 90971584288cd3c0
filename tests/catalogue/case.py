"""What a case of the catalogue is: an input, and the one way in which reading it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from cspine_zoo.ct.intake import Source
from tests.catalogue.workbench import Workbench

SECTIONS: Final = {
    "A": "Archives",
    "B": "DICOM files",
    "C": "From a study to one volume",
    "D": "NIfTI",
}

SECONDS: Final = 5.0
ZIP_SECONDS: Final = 2.0
"""Longest time of a case, and of a zip that is refused."""

EXTRA_MB: Final = 512
"""Most memory beyond what reading the plain phantom takes."""


@dataclass(frozen=True)
class Read:
    """The volume is read, voxel by voxel what the workbench expects.

    Attributes:
        warnings: codes of all its warnings.
        skipped: codes of the files that are set aside, each once.
    """

    warnings: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()

    def __str__(self) -> str:
        notes = [f"warning `{code}`" for code in sorted(self.warnings)]
        notes += [f"skipped `{code}`" for code in sorted(self.skipped)]
        return ", ".join(["read", *notes])


@dataclass(frozen=True)
class Refused:
    """The study is refused by this code."""

    code: str

    def __str__(self) -> str:
        return f"refused `{self.code}`"


Expectation = Read | Refused
Make = Callable[[Workbench], Source]


class Case(NamedTuple):
    """One input and its end.

    Attributes:
        section: letter of ``SECTIONS``.
        name: what is special about the input.
        make: writes it and returns what is given to the reader; says on the workbench if the
            volume is another one than the phantom.
        expect: how reading it ends.
        slow: it takes more than a second to make or to refuse.
    """

    section: str
    name: str
    make: Make
    expect: Expectation
    slow: bool = False

    @property
    def identifier(self) -> str:
        """Name of the test."""
        return f"{self.section}-{self.name.replace(' ', '-')}"

    @property
    def seconds(self) -> float:
        """Longest time of reading it."""
        is_refused_zip = self.section == "A" and isinstance(self.expect, Refused)
        return ZIP_SECONDS if is_refused_zip else SECONDS


def read(*warnings: str, skipped: tuple[str, ...] = ()) -> Read:
    """Expect a volume, with these codes and no others."""
    return Read(frozenset(warnings), frozenset(skipped))


class Section:
    """Collects the cases of one section; ``add`` is a decorator for their makers."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.cases: list[Case] = []

    def add(self, name: str, expect: Expectation, *, slow: bool = False) -> Callable[[Make], Make]:
        """Register the decorated maker as a case."""

        def register(make: Make) -> Make:
            self.cases.append(Case(self.letter, name, make, expect, slow))
            return make

        return register


def alone(content: bytes, name: str = "upload") -> Make:
    """A maker whose input is one file with this content."""

    def make(bench: Workbench) -> Path:
        return bench.file(name, content)

    return make
