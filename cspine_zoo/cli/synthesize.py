"""``cspine-zoo synthesize``: studies with known fractures, made by rule and seed."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cspine_zoo.cli.command import Command
from cspine_zoo.cli.console import Console


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--n", type=int, required=True, metavar="N", help="studies in all; twins count"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    parser.add_argument(
        "--preset", default="study", metavar="P", help="range of scans (default: %(default)s)"
    )
    parser.add_argument(
        "--format",
        default="rsna",
        choices=("rsna", "nifti"),
        help="the RSNA 2022 layout, which the other commands read, or plain NIfTI",
    )
    parser.add_argument(
        "--anatomy",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a label map whose vertebrae lend their shapes; give it again for more",
    )
    parser.add_argument(
        "--twins", action="store_true", help="each study fractured and whole, otherwise the same"
    )
    parser.add_argument("--preview", type=Path, metavar="FILE.png", help="pictures of the first")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")


def _run(options: Namespace, console: Console) -> int:
    from cspine_zoo.synthetic.synthesize import Order, synthesize

    logging.getLogger("cspine_zoo.synthetic").setLevel(logging.INFO)
    order = Order(
        out=options.out,
        count=options.n,
        seed=options.seed,
        preset=options.preset,
        layout=options.format,
        anatomies=tuple(options.anatomy),
        twins=options.twins,
        preview=options.preview,
    )
    names = synthesize(order, workers=options.workers)
    console.answer(f"{options.out}: {len(names)} studies")
    return 0


SYNTHESIZE = Command("synthesize", "make CT with known fractures", _add_options, _run)
