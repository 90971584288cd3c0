"""What a command is: a name, its options, and what it does."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from cspine_zoo.cli.console import Console
from cspine_zoo.errors import UsageError


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    Attributes:
        name: the word.
        summary: one line for ``--help``.
        add_options: declares positional arguments and options.
        run: does the work and returns the exit code; imports what is slow by itself.
    """

    name: str
    summary: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Console], int]


class Parser(ArgumentParser):
    """An argument parser whose complaints are errors of this package."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that ``--json`` gets its refusal as JSON."""
        raise UsageError("usage", message, hint=f"See {self.prog} --help.")


def add_json(parser: ArgumentParser) -> None:
    """The option that every command with a machine-readable answer has."""
    parser.add_argument("--json", action="store_true", help="print JSON on stdout, nothing else")


def add_study(parser: ArgumentParser) -> None:
    """The study and the choice of one of its series."""
    parser.add_argument("study", metavar="STUDY", help="zip, folder, DICOM file or NIfTI file")
    add_series(parser)


def add_series(parser: ArgumentParser) -> None:
    """The choice of a series where a study holds several."""
    parser.add_argument(
        "--series",
        type=_series,
        metavar="UID|N",
        help="series to read: its UID, or its index as inspect lists it",
    )


def add_device(parser: ArgumentParser) -> None:
    """Where and how precisely networks run."""
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="arithmetic of classifiers, and of a mask that is asked for alone; localizers, and"
        " masks that others stand on, are float32 (default: %(default)s)",
    )


def _series(text: str) -> str | int:
    return int(text) if text.isdecimal() else text
