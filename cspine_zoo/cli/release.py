"""``calibrate`` and ``bundle``: from a trained file to a model of the package."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from cspine_zoo.cli.command import Command, add_device
from cspine_zoo.cli.console import Console
from cspine_zoo.cli.fetch import fetch_models, with_segmenters
from cspine_zoo.errors import UsageError

if TYPE_CHECKING:
    from cspine_zoo.zoo.manifest import ManifestEntry


def _add_calibrate_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="FILE", help="a .safetensors file, or a name")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="studies it has not learned from"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="for predictions and NAME.safetensors",
    )
    parser.add_argument(
        "--dataset", metavar="TEXT", help="what the studies are, for the model card"
    )
    parser.add_argument("--segmenter", metavar="NAME", help="instead of the row's own")
    add_device(parser)


def _calibrate(options: Namespace, console: Console) -> int:
    from cspine_zoo.evaluation.evaluate import make_output, studies_of
    from cspine_zoo.zoo import checkpoint
    from cspine_zoo.zoo.load import load_model

    studies_of(options.data)  # a wrong directory is refused before a transfer
    fetch_models(with_segmenters([options.model], options.segmenter), console)
    model = load_model(options.model, "cpu")
    make_output(options.out)
    settle = _with_heat if model.entry.task == "fracture-localization" else _with_thresholds
    row = settle(model.entry, options)
    path = options.out / f"{row.name}.safetensors"
    checkpoint.write(model.network, row, path)
    console.answer(str(path))
    return 0


def _with_thresholds(row: ManifestEntry, options: Namespace) -> ManifestEntry:
    """A classifier's row with temperature and operating points of its own."""
    from cspine_zoo.evaluation.calibrate import calibrate
    from cspine_zoo.evaluation.calibration import LEAST_SPECIFICITY
    from cspine_zoo.zoo.manifest import Calibration, OperatingPoint

    found = calibrate(
        options.data,
        options.model,
        options.out,
        segmenter=options.segmenter,
        device=options.device,
        precision=options.precision,
    )
    dataset = _dataset(options)
    return replace(
        row,
        calibration=Calibration("temperature", round(found.temperature, 4), dataset),
        operating_point=OperatingPoint(
            round(found.patient_threshold, 4),
            round(found.vertebra_threshold, 4),
            f"{dataset}; the most sensitive at which {LEAST_SPECIFICITY:.0%} of whole patients "
            "are not called, nor any of their vertebrae",
        ),
    )


def _with_heat(row: ManifestEntry, options: Namespace) -> ManifestEntry:
    """A localizer's row with the least heat of a finding."""
    from cspine_zoo.evaluation.heat_point import MOST_FALSE, choose_heat
    from cspine_zoo.zoo.manifest import OperatingPoint

    found = choose_heat(
        options.data, options.model, segmenter=options.segmenter, device=options.device
    )
    rule = f"the most fractures named at {MOST_FALSE:g} false finding a study or fewer"
    point = OperatingPoint(found.least_heat, found.least_heat, f"{_dataset(options)}; {rule}")
    return replace(row, operating_point=point)


def _dataset(options: Namespace) -> str:
    return options.dataset or f"the studies of {options.data.name}"


def _add_bundle_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="FILE", help="a .safetensors file, or a name")
    parser.add_argument(
        "--evaluation", type=Path, metavar="DIR", help="of cspine-zoo evaluate: its figures"
    )
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        help="of the evaluation, for a segmenter or a localizer (default: first)",
    )
    parser.add_argument(
        "--dataset", metavar="TEXT", help="what was evaluated on, for the model card"
    )
    parser.add_argument(
        "--limitation",
        action="append",
        default=[],
        metavar="TEXT",
        help="put before the row's other limitations; give it again for more",
    )
    parser.add_argument("--cards", type=Path, metavar="DIR", help="also write all model cards")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="default: the package's own")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="default: the package's own")


def _bundle(options: Namespace, console: Console) -> int:
    if (options.evaluation is None) != (options.dataset is None):
        raise UsageError(
            "usage",
            "--evaluation and --dataset belong together.",
            hint="A figure without its data says nothing.",
        )
    result = None if options.evaluation is None else _evaluation(options.evaluation)
    from cspine_zoo.evaluation.evaluate import STUDIES
    from cspine_zoo.evaluation.figures_of_row import figures_of_row
    from cspine_zoo.evaluation.outcomes import read_outcomes
    from cspine_zoo.evaluation.stored import carry_over, record_of, stored_path, write_stored
    from cspine_zoo.resources import weights_dir
    from cspine_zoo.zoo.bundle import bundle
    from cspine_zoo.zoo.card import write_cards
    from cspine_zoo.zoo.load import load_model
    from cspine_zoo.zoo.manifest import read_manifest

    fetch_models([options.model], console)
    model = load_model(options.model, "cpu")
    row, weights = model.entry, options.weights or weights_dir()
    record = None
    if result is not None:
        classifier = options.classifier or _evaluated_as(options.model, row.name, result["models"])
        row = replace(row, metrics=figures_of_row(row, result, classifier, options.dataset))
        if row.task == "fracture-classification":
            outcomes = read_outcomes(options.evaluation / STUDIES)
            record = record_of(row, outcomes, classifier, model.weights_sha256)
    kept = [text for text in row.limitations if text not in options.limitation]
    row = replace(row, limitations=(*options.limitation, *kept))
    stored = bundle(model.network, row, weights=weights, manifest=options.manifest)
    if record is not None:
        write_stored(record, stored_path(row.name, weights))
    carry_over(row.name, weights, model.weights_sha256, stored.files[0].sha256)
    if options.cards is not None:
        write_cards(options.cards, read_manifest(options.manifest))
    console.answer(f"{stored.name} {stored.files[0].sha256}")
    return 0


def _evaluation(folder: Path) -> dict[str, dict[str, object]]:
    try:
        content: dict[str, dict[str, object]] = json.loads((folder / "evaluation.json").read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            "no_evaluation",
            "there is no evaluation.json that can be read.",
            file=folder.name,
            hint="cspine-zoo evaluate --out DIR writes it.",
        ) from error
    return content


def _evaluated_as(model: str, name: str, models: Mapping[str, object]) -> str:
    """What the evaluation calls a model: as given now, by its row, or by its file's name.

    A segmenter is none of them, and takes the first classifier that ran with it.
    """
    same_file = [known for known in models if PurePath(known).name == f"{name}.safetensors"]
    found = [known for known in (model, name) if known in models] + same_file
    return next(iter(found or models), name)


CALIBRATE = Command(
    "calibrate",
    "settle a model's temperature and operating points",
    _add_calibrate_options,
    _calibrate,
)
BUNDLE = Command("bundle", "put a trained model into the package", _add_bundle_options, _bundle)
