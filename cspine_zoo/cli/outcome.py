"""One study from the file to what ``predict`` answers: the object of ``--json``, and a table."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cspine_zoo.cli.console import Console, aligned
from cspine_zoo.cli.fetch import fetch_models, with_segmenters
from cspine_zoo.errors import StudyRejected
from cspine_zoo.results import StudyPrediction

if TYPE_CHECKING:
    from cspine_zoo.ct.volume import CTVolume
    from cspine_zoo.inference.segment import Segmentation


@dataclass(frozen=True)
class Outcome:
    """What came out of a study.

    Attributes:
        result: for the files of ``--out``.
        answer: the object of ``--json``.
        lines: the same for a person.
    """

    result: StudyPrediction
    answer: dict[str, Any]
    lines: list[str]


def predict_study(options: Namespace, console: Console) -> Outcome:
    """Read a study and classify it with every model that was named.

    Raises:
        CSpineZooError: as ``fetch_models``, ``read_ct`` and ``compare`` do.
    """
    localizers = [] if options.localizer is None else [options.localizer]
    fetch_models([*with_segmenters(options.model, options.segmenter), *localizers], console)
    from cspine_zoo.inference.compare import compare

    with _naming_the_study(options.study):
        result = compare(
            _read(options, console),
            options.model,
            segmenter=options.segmenter,
            localizer=options.localizer,
            device=options.device,
            precision=options.precision,
            progress=console.progress,
        )
    return Outcome(result, result.to_dict(), _prediction_lines(result))


def segment_study(options: Namespace, console: Console) -> Outcome:
    """Read a study and find its vertebrae.

    Raises:
        CSpineZooError: as ``fetch_models``, ``read_ct`` and ``segment`` do.
    """
    from cspine_zoo.inference.segment import DEFAULT_SEGMENTER, segment
    from cspine_zoo.inference.study import summary_of

    segmenter = options.segmenter or DEFAULT_SEGMENTER
    fetch_models([segmenter], console)
    with _naming_the_study(options.study):
        ct = _read(options, console)
        found = segment(
            ct,
            segmenter,
            device=options.device,
            precision=options.precision,
            progress=console.progress,
        )
    result = StudyPrediction(summary_of(ct, found), (), found.label_map)
    answer = {**result.to_dict(), "segmentation": _segmentation(found, ct.report.seconds)}
    return Outcome(result, answer, _segmentation_lines(result, found))


@contextmanager
def _naming_the_study(study: str) -> Iterator[None]:
    """What is found out behind the reader, such as a missing neck, is said of the whole study."""
    try:
        yield
    except StudyRejected as refusal:
        if refusal.file:
            raise
        raise StudyRejected(
            refusal.code, refusal.reason, file=str(study), hint=refusal.hint
        ) from refusal


def _read(options: Namespace, console: Console) -> CTVolume:
    from cspine_zoo.ct.read import read_ct

    console.progress("read", 0.0)
    return read_ct(options.study, series=options.series)


def _segmentation(found: Segmentation, read_seconds: float) -> dict[str, Any]:
    from cspine_zoo import __version__

    seconds = {
        "read": read_seconds,
        "prepare": found.prepare_seconds,
        "segment": found.segment_seconds,
    }
    return {
        "segmenter": found.segmenter,
        "segmenter_sha256": found.segmenter_sha256,
        "package_version": __version__,
        "device": found.device,
        "precision": found.precision,
        "vertebrae": [
            {
                "level": level.level,
                "found": level.found,
                "visible_fraction": level.visible_fraction,
                "centroid_mm": level.centroid_mm,
                "volume_mm3": level.volume_mm3,
            }
            for level in found.levels
        ],
        "seconds": {**seconds, "total": sum(seconds.values())},
    }


def _segmentation_lines(result: StudyPrediction, found: Segmentation) -> list[str]:
    table = [("level", "found", "in view", "cm3", "centroid mm (RAS+)")]
    for level in found.levels:
        volume = f"{level.volume_mm3 / 1000:.1f}"
        where = "" if level.centroid_mm is None else _point(level.centroid_mm)
        table.append((level.level, *_seen(level.found, level.visible_fraction), volume, where))
    return [*_study_lines(result), *aligned(table)]


def _study_lines(result: StudyPrediction) -> list[str]:
    study = result.study
    spacing = " x ".join(f"{size:.3g}" for size in study.spacing_mm)
    lines = [f"{study.n_slices} slices, {' x '.join(map(str, study.shape))} voxels of {spacing} mm"]
    if study.skipped:
        lines.append(f"{len(study.skipped)} files left out; cspine-zoo inspect names them")
    lines += [f"warning: {notice.message}" for notice in study.warnings]
    return [*lines, ""]


def _prediction_lines(result: StudyPrediction) -> list[str]:
    models = result.predictions
    table = [("level", "found", "in view", *(model.model for model in models))]
    for number, vertebra in enumerate(models[0].vertebrae):
        own = [model.vertebrae[number] for model in models]
        scores = [_score(row.probability, row.threshold) for row in own]
        seen = _seen(vertebra.found, vertebra.visible_fraction)
        table.append((vertebra.level, *seen, *scores))
    overall = [_score(model.patient_overall, model.threshold) for model in models]
    table.append(("any", "", "", *overall))
    seconds = ", ".join(f"{model.model} {model.seconds.total:.1f} s" for model in models)
    footer = ["", "* at or over the model's threshold", f"time: {seconds}"]
    return [*_study_lines(result), *aligned(table), *footer]


def _seen(found: bool, visible_fraction: float) -> tuple[str, str]:
    return ("yes" if found else "no", f"{visible_fraction:.0%}")


def _score(probability: float | None, threshold: float) -> str:
    if probability is None:
        return "-"
    return f"{probability:.3f}{' *' if probability >= threshold else ''}"


def _point(centroid_mm: Sequence[float]) -> str:
    return ", ".join(f"{coordinate:.1f}" for coordinate in centroid_mm)
