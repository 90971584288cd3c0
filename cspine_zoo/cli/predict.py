"""``cspine-zoo predict``: one study, any number of classifiers; or every study of a directory."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from cspine_zoo.cli.command import Command, add_device, add_json, add_series
from cspine_zoo.cli.console import Console
from cspine_zoo.cli.fetch import fetch_models, with_segmenters
from cspine_zoo.cli.outcome import predict_study, segment_study
from cspine_zoo.cli.outputs import (
    FILES,
    WITHOUT_CLASSIFIER,
    make_folder,
    parse_formats,
    write_outputs,
)
from cspine_zoo.errors import UsageError

CLASSIFICATION: Final = "fracture-classification"
SEGMENTATION: Final = "vertebra-segmentation"


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "study", nargs="?", metavar="STUDY", help="zip, folder, DICOM file or NIfTI file"
    )
    add_series(parser)
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a classifier or a .safetensors file; give it again to compare several",
    )
    parser.add_argument(
        "--segmenter", metavar="NAME", help="instead of the one that the classifier names"
    )
    parser.add_argument("--localizer", metavar="NAME", help="a model that finds fracture regions")
    parser.add_argument(
        "--segment-only", action="store_true", help="find the vertebrae and stop there"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files of --format")
    parser.add_argument("--format", metavar="LIST", help=f"of {','.join(FILES)} (default: all)")
    many = parser.add_argument_group("every study of a directory in the RSNA 2022 layout")
    many.add_argument("--data", type=Path, metavar="DIR")
    many.add_argument(
        "--submission",
        type=Path,
        metavar="FILE.csv",
        help="the challenge's format; the same command again goes on where it stopped",
    )
    add_device(parser)
    add_json(parser)


def _run(options: Namespace, console: Console) -> int:
    _check_combination(options)
    for name in options.model:
        _check_task(name, CLASSIFICATION)
    if options.segmenter is not None:
        _check_task(options.segmenter, SEGMENTATION)
    if options.data is not None:
        fetch_models(with_segmenters(options.model, options.segmenter), console)
        return _predict_directory(options, console)
    known = WITHOUT_CLASSIFIER if options.segment_only else tuple(FILES)
    formats = parse_formats(options.format, known)
    if options.out is not None:
        make_folder(options.out)
    run = segment_study if options.segment_only else predict_study
    outcome = run(options, console)
    console.end_progress()
    if options.out is not None:
        for path in write_outputs(outcome.result, outcome.answer, options.out, formats):
            console.note(f"wrote {path}")
    if console.json:
        console.answer_json(outcome.answer)
    else:
        for line in outcome.lines:
            console.answer(line)
    return 0


def _check_combination(options: Namespace) -> None:
    """Refuse options that contradict each other, before anything slow."""
    rules: tuple[tuple[bool, str], ...] = (
        ((options.study is None) == (options.data is None), "give one STUDY, or --data DIR."),
        (
            (options.data is None) != (options.submission is None),
            "--data and --submission go together.",
        ),
        (options.format is not None and options.out is None, "--format needs --out DIR."),
        (
            options.segment_only and bool(options.model),
            "--segment-only runs no classifier: leave --model out.",
        ),
        (options.segment_only and options.data is not None, "--data needs a classifier."),
        (options.data is not None and len(options.model) > 1, "--submission takes one --model."),
        (
            options.data is not None
            and any((options.out, options.localizer, options.series is not None)),
            "--out, --localizer and --series are for one study.",
        ),
    )
    for broken, reason in rules:
        if broken:
            raise UsageError("usage", reason, hint="See cspine-zoo predict --help.")
    if not options.model and not options.segment_only:
        raise UsageError("no_model", "name at least one classifier.", hint=_choices(CLASSIFICATION))


def _check_task(name: str, task: str) -> None:
    from cspine_zoo.zoo.locate import find_entry

    entry = find_entry(name)
    if entry.task != task:
        raise UsageError(
            "wrong_task",
            f"this model is for {entry.task}; {task} is needed here.",
            file=name,
            hint=_choices(task),
        )


def _choices(task: str) -> str:
    from cspine_zoo.zoo.catalog import list_models

    names = ", ".join(row.name for row in list_models(task=task))
    return f"Choose from: {names}." if names else f"There is no model for {task} yet."


def _predict_directory(options: Namespace, console: Console) -> int:
    from cspine_zoo.evaluation.submission import write_submission

    logging.getLogger("cspine_zoo.evaluation").setLevel(logging.INFO)
    written = write_submission(
        options.data,
        options.model[0],
        options.submission,
        segmenter=options.segmenter,
        device=options.device,
        precision=options.precision,
    )
    missing = written.without_prediction
    if console.json:
        console.answer_json(
            {
                "submission": str(written.path),
                "n_studies": written.n_studies,
                "without_prediction": list(missing),
            }
        )
    else:
        console.answer(f"{written.path}: {written.n_studies} studies")
    if missing:
        console.note(f"{len(missing)} without a prediction hold the training prevalence.")
    return 0


PREDICT: Final = Command("predict", "find fractures in a study", _add_options, _run)
