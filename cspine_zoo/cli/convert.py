"""``convert``: a source system's ``.pth`` file into safetensors that the other commands take."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from cspine_zoo.cli.command import Command, add_json
from cspine_zoo.cli.console import Console
from cspine_zoo.errors import UsageError

if TYPE_CHECKING:
    from cspine_zoo.conversion.convert import Conversion


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE.pth",
        help="a state dict that torch.save wrote; with --from-drive, its name in the folder",
    )
    parser.add_argument("--model", metavar="NAME", help="whose network it is for")
    parser.add_argument("--out", type=Path, metavar="FILE.safetensors")
    parser.add_argument(
        "--from-drive",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="fetch the file from a shared Google Drive folder (identifier or address; default: "
        "the one that source system 1 publishes, untried); without FILE.pth, list the folder",
    )
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
    if options.file is None and options.from_drive is not None:
        return _list(options, console)
    if None in (options.file, options.model, options.out):
        raise UsageError(
            "usage",
            "a file, --model and --out are needed.",
            hint="Without a file, --from-drive lists a folder.",
        )
    from cspine_zoo.conversion.convert import checked_out, prepare

    checked_out(options.out)
    if options.from_drive is None:
        return _convert(prepare(options.file, options.model, options.ignore), options, console)
    from cspine_zoo.conversion.drive import fetch_file

    folder = _folder(options)
    with tempfile.TemporaryDirectory(prefix="cspine-zoo-") as directory:
        console.progress("fetch", 0.0)
        path = fetch_file(folder, options.file, Path(directory))
        origin = f"Google Drive folder {folder}"
        conversion = prepare(path, options.model, options.ignore, origin)
        return _convert(conversion, options, console)


def _folder(options: Namespace) -> str:
    from cspine_zoo.conversion.drive import SYSTEM_1

    return str(options.from_drive or SYSTEM_1)


def _list(options: Namespace, console: Console) -> int:
    from cspine_zoo.conversion.drive import list_files

    files = list_files(_folder(options))
    if console.json:
        console.answer_json([{"file_id": file.file_id, "path": file.path} for file in files])
        return 0
    for file in files:
        console.answer(file.path)
    return 0


def _convert(conversion: Conversion, options: Namespace, console: Console) -> int:
    report = conversion.report.to_dict()
    taken_off = ", ".join(conversion.wrapping) or "nothing"
    console.note(f"{options.file} for {options.model}; taken off the names: {taken_off}")
    for line in conversion.report.lines():
        console.note(line)
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    row = conversion.write(options.out)
    if console.json:
        answer = {"out": str(options.out), "sha256": row.files[0].sha256, "row": row.to_dict()}
        console.answer_json(answer | {"report": report})
    else:
        console.answer(str(options.out))
    return 0


CONVERT = Command(
    "convert", "turn a source system's .pth file into safetensors", _add_options, _run
)
