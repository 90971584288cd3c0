"""``publish``: a model's weights, card and row onto the Hugging Face Hub."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cspine_zoo.cli.command import Command, add_json
from cspine_zoo.cli.console import Console
from cspine_zoo.cli.fetch import watch


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model that has weights")
    parser.add_argument("--repo-id", required=True, metavar="OWNER/REPO", help="made if missing")
    parser.add_argument("--private", action="store_true", help="a new repository is not public")
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="pin the commit in this manifest (default: the package's own)",
    )
    add_json(parser)


def _run(options: Namespace, console: Console) -> int:
    from cspine_zoo.zoo.publish import publish
    from cspine_zoo.zoo.sources import address

    row = publish(
        options.name,
        options.repo_id,
        private=options.private,
        manifest=options.manifest,
        watch=watch(console),
    )
    if console.json:
        console.answer_json(row.to_dict())
        return 0
    for file in row.files:
        for source in file.sources:
            if source.kind == "huggingface":
                console.answer(address(source))
    return 0


PUBLISH = Command(
    "publish", "put weights, card and row on the Hugging Face Hub", _add_options, _run
)
