"""``cspine-zoo train``: from a preset to a checkpoint that the other commands take by its path."""

from __future__ import annotations

import logging
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from cspine_zoo.cli.command import Command
from cspine_zoo.cli.console import Console
from cspine_zoo.cli.fetch import fetch_models
from cspine_zoo.errors import UsageError

SYNTHETIC: Final = "synthetic"
TRUTH: Final = "truth"


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("preset", metavar="PRESET", help="the model to train, by its name")
    parser.add_argument(
        "--data",
        default=SYNTHETIC,
        metavar=f"DIR|{SYNTHETIC}",
        help="studies in RSNA 2022's layout, or synthetic CT made on the fly (default)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="everything that the run writes; classifiers in the same one share their encoder",
    )
    parser.add_argument(
        "--segmenter",
        metavar=f"NAME|{TRUTH}",
        help="whose masks cut the crops of --data DIR (default: the row's segmenter); "
        f"{TRUTH}: the studies' own masks, made as rough as predicted ones",
    )
    parser.add_argument(
        "--start", metavar="NAME|FILE", help="begin from the weights of this model (fine-tuning)"
    )
    parser.add_argument(
        "--anatomy",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a label map whose vertebrae lend synthetic CT their shapes; give it again for more",
    )
    parser.add_argument(
        "--devices", type=int, metavar="N", help="GPUs, or processes of a CPU (default: 1)"
    )
    parser.add_argument(
        "--precision",
        default="auto",
        metavar="P",
        help="auto (bfloat16 where the hardware has it), float32 or bfloat16",
    )
    parser.add_argument("--resume", action="store_true", help="go on where a run in --out stopped")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that render, read and make batches (default: 1)",
    )


def _run(options: Namespace, console: Console) -> int:
    data = None if options.data == SYNTHETIC else Path(options.data)
    if data is not None and not data.is_dir():
        raise UsageError(
            "no_data",
            "there is no such directory.",
            file=data.name,
            hint=f"--data takes a directory in RSNA's layout, or {SYNTHETIC}.",
        )
    from cspine_zoo.training.devices import Devices
    from cspine_zoo.training.presets import preset_named
    from cspine_zoo.training.recipes import CropPreset
    from cspine_zoo.training.train import Job, train

    logging.getLogger("cspine_zoo").setLevel(logging.INFO)
    job = Job(
        preset=preset_named(options.preset),
        out=options.out,
        data=data,
        segmenter=options.segmenter,
        anatomies=tuple(options.anatomy),
        start=options.start,
        devices=Devices(options.devices, precision=options.precision),
        resume=options.resume,
        workers=options.workers,
        command=command_line(options),
    )
    needed = [options.start]
    if data is not None and isinstance(job.preset, CropPreset):
        needed.append(options.segmenter or job.preset.segmenter)
    fetch_models([name for name in needed if name not in (None, TRUTH)], console)
    console.answer(str(train(job)))
    return 0


def command_line(options: Namespace) -> str:
    """The command for the model card: what matters to the result, and nobody's folders."""
    data = SYNTHETIC if options.data == SYNTHETIC else "DIR"
    words = ["cspine-zoo", "train", options.preset, "--data", data, "--out", "DIR"]
    if options.segmenter is not None:
        words += ["--segmenter", _named(options.segmenter)]
    if options.start is not None:
        words += ["--start", _named(options.start)]
    for anatomy in options.anatomy:
        words += ["--anatomy", anatomy.name]
    return shlex.join(words)


def _named(model: str) -> str:
    """A model's name, or its file's without the folder."""
    return Path(model).name


TRAIN = Command("train", "train a model of the zoo", _add_options, _run)
