"""``cspine-zoo train``: from a preset to a checkpoint that the other commands take by its path."""

from __future__ import annotations

import logging
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from cspine_zoo.cli.command import Command
from cspine_zoo.cli.console import Console
from cspine_zoo.errors import UsageError

SYNTHETIC: Final = "synthetic"


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("preset", metavar="PRESET", help="the model to train, by its name")
    parser.add_argument(
        "--data", default=SYNTHETIC, metavar=SYNTHETIC, help="made on the fly (default)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="everything that the run writes; classifiers in the same one share their encoder",
    )
    parser.add_argument(
        "--anatomy",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a label map whose vertebrae lend their shapes; give it again for more",
    )
    parser.add_argument("--resume", action="store_true", help="go on where a run in --out stopped")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that render (default: 1)"
    )


def _run(options: Namespace, console: Console) -> int:
    if options.data != SYNTHETIC:
        raise UsageError(
            "unknown_data",
            f"this version trains on synthetic CT, not on {options.data}.",
            hint=f"Leave --data out, or give --data {SYNTHETIC}.",
        )
    from cspine_zoo.training.train import Job, train

    logging.getLogger("cspine_zoo").setLevel(logging.INFO)
    job = Job(
        preset=options.preset,
        out=options.out,
        anatomies=tuple(options.anatomy),
        resume=options.resume,
        workers=options.workers,
        command=command_line(options),
    )
    console.answer(str(train(job)))
    return 0


def command_line(options: Namespace) -> str:
    """The command for the model card: what matters to the result, and nobody's folders."""
    words = ["cspine-zoo", "train", options.preset, "--data", SYNTHETIC, "--out", "DIR"]
    for anatomy in options.anatomy:
        words += ["--anatomy", anatomy.name]
    return shlex.join(words)


TRAIN = Command("train", "train a model of the zoo", _add_options, _run)
