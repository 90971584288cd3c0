"""``cspine-zoo evaluate``: models on labelled studies, every figure with its interval."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cspine_zoo.cli.command import Command, add_device, add_json
from cspine_zoo.cli.console import Console, aligned
from cspine_zoo.cli.fetch import fetch_models, with_segmenters


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="studies in the RSNA 2022 layout"
    )
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="NAME",
        help="a classifier or a .safetensors file; give it again for more",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="for evaluation.json, report.html and each study's predictions: the same directory "
        "goes on where it stopped",
    )
    parser.add_argument(
        "--segmenter", metavar="NAME", help="instead of the one that each classifier names"
    )
    parser.add_argument("--localizer", metavar="NAME", help="a model that finds fracture regions")
    parser.add_argument(
        "--pictures",
        action=BooleanOptionalAction,
        help="slices of the worst studies in report.html; by default only for synthetic studies, "
        "so that nobody's CT gets into a report unasked",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N studies")
    add_device(parser)
    add_json(parser)


def _run(options: Namespace, console: Console) -> int:
    from cspine_zoo.evaluation.evaluate import PAGE, evaluate, studies_of

    studies_of(options.data, options.limit)  # a wrong directory is refused before a transfer
    localizers = [] if options.localizer is None else [options.localizer]
    fetch_models([*with_segmenters(options.model, options.segmenter), *localizers], console)
    logging.getLogger("cspine_zoo.evaluation").setLevel(logging.INFO)
    result = evaluate(
        options.data,
        options.model,
        options.out,
        segmenter=options.segmenter,
        localizer=options.localizer,
        device=options.device,
        precision=options.precision,
        limit=options.limit,
        pictures=options.pictures,
    )
    if console.json:
        console.answer_json(result)
        return 0
    console.answer(f"{result['n_studies']} studies, {result['n_missing']} without a prediction")
    for line in aligned([_HEADING, *(_row(name, m) for name, m in result["models"].items())]):
        console.answer(line)
    console.answer(f"report: {options.out / PAGE}")
    return 0


_HEADING = ("model", "log loss", "patient AUC", "vertebra AUC", "patient F1")


def _row(name: str, model: Mapping[str, Any]) -> tuple[str, ...]:
    figures = (
        model["log_loss"],
        model["patient"]["auc"],
        model["vertebra"]["auc"],
        model["patient"]["f1"],
    )
    return (name, *(_figure(figure) for figure in figures))


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "undefined"
    interval = figure["ci95"]
    spread = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{figure['value']:.3f}{spread}"


EVALUATE = Command("evaluate", "score models on labelled studies", _add_options, _run)
