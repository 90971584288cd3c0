"""``models``, ``info``, ``download`` and ``verify``: what there is, and is it whole."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cspine_zoo.cli.command import Command, add_json
from cspine_zoo.cli.console import Console, aligned
from cspine_zoo.cli.fetch import watch
from cspine_zoo.errors import UsageError, WeightsError


def _add_models_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="such as 'cls-*'"
    )
    parser.add_argument("--task", metavar="T", help="models of one task only")
    add_json(parser)


def _models(options: Namespace, console: Console) -> int:
    from cspine_zoo.zoo.catalog import list_models

    rows = list_models(options.pattern, task=options.task)
    if console.json:
        console.answer_json([row.to_dict() for row in rows])
        return 0
    if not rows:
        console.note(f"No model's name fits {options.pattern!r}.")
        return 0
    table = [("name", "task", "parameters", "MB", "weights", "licence of weights")]
    for row in rows:
        megabytes = f"{row.size_bytes / 1e6:.1f}"
        parameters = f"{row.parameters:,}"
        licence = row.licence.weights
        table.append((row.name, row.task, parameters, megabytes, row.available, licence))
    for line in aligned(table):
        console.answer(line)
    return 0


def _add_info_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model, or a .safetensors file")
    add_json(parser)


def _info(options: Namespace, console: Console) -> int:
    from cspine_zoo.zoo.card import card
    from cspine_zoo.zoo.locate import find_entry

    entry = find_entry(options.name)
    if console.json:
        console.answer_json(entry.to_dict())
    else:
        console.answer(card(entry).rstrip("\n"))
    return 0


def _add_download_options(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every model that has weights")
    parser.add_argument("--dest", type=Path, metavar="DIR", help="also put copies there")


def _download(options: Namespace, console: Console) -> int:
    if bool(options.names) == options.all:
        raise UsageError(
            "usage",
            "give the names of models, or --all.",
            hint="cspine-zoo models lists them.",
        )
    from cspine_zoo.zoo.verify import download

    for path in download(options.names, options.dest, watch=watch(console)):
        console.answer(str(path))
    return 0


def _add_verify_options(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all models")
    parser.add_argument("--repair", action="store_true", help="fetch again what is not whole")
    add_json(parser)


def _verify(options: Namespace, console: Console) -> int:
    from cspine_zoo.zoo.verify import verify_weights

    rows = verify_weights(options.names, repair=options.repair, watch=watch(console))
    if console.json:
        console.answer_json([row.to_dict() for row in rows])
    else:
        table = [("name", "state", "file"), *((row.name, row.status, row.path) for row in rows)]
        for line in aligned(table):
            console.answer(line)
        for row in rows:
            if row.detail:
                console.note(f"{row.name}: {row.detail}")
    return 0 if all(row.ok for row in rows) else WeightsError.exit_code


MODELS = Command("models", "list the models", _add_models_options, _models)
INFO = Command("info", "print a model's card", _add_info_options, _info)
DOWNLOAD = Command("download", "get weights onto this machine", _add_download_options, _download)
VERIFY = Command(
    "verify", "check the weights on this machine, byte for byte", _add_verify_options, _verify
)
