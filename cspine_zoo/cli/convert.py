"""``convert``: a source system's ``.pth`` file into safetensors that the other commands take."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from cspine_zoo.cli.command import Command, add_json
from cspine_zoo.cli.console import Console

if TYPE_CHECKING:
    from cspine_zoo.conversion.convert import Conversion


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.pth", help="a state dict that torch.save wrote")
    parser.add_argument("--model", required=True, metavar="NAME", help="whose network it is for")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.safetensors")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="names of theirs to leave out, and of our buffers to leave as built (* is one part "
        "of a name, ** any number); give it again for more",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="also write what became of every tensor"
    )
    add_json(parser)


def _run(options: Namespace, console: Console) -> int:
    from cspine_zoo.conversion.convert import checked_out, prepare

    checked_out(options.out)
    conversion = prepare(options.file, options.model, options.ignore)
    _tell(conversion, options, console)
    row = conversion.write(options.out)
    if console.json:
        console.answer_json(
            {
                "out": str(options.out),
                "sha256": row.files[0].sha256,
                "row": row.to_dict(),
                "report": conversion.report.to_dict(),
            }
        )
    else:
        console.answer(str(options.out))
    return 0


def _tell(conversion: Conversion, options: Namespace, console: Console) -> None:
    """The report, before anything can refuse: it says what stands in the way."""
    taken_off = ", ".join(conversion.wrapping) or "nothing"
    console.note(f"{options.file} for {options.model}; taken off the names: {taken_off}")
    for line in conversion.report.lines():
        console.note(line)
    if options.report is not None:
        text = json.dumps(conversion.report.to_dict(), indent=2) + "\n"
        options.report.write_text(text, encoding="utf-8")


CONVERT = Command(
    "convert", "turn a source system's .pth file into safetensors", _add_options, _run
)
