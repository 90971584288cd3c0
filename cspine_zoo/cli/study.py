"""``cspine-zoo inspect``: what is in a study, and what would be read."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from cspine_zoo.cli.command import Command, add_json, add_study
from cspine_zoo.cli.console import Console, aligned


def _add_options(parser: ArgumentParser) -> None:
    add_study(parser)
    add_json(parser)


def _run(options: Namespace, console: Console) -> int:
    from cspine_zoo.ct.read import inspect_study

    inspection = inspect_study(options.study, series=options.series).to_dict()
    if console.json:
        console.answer_json(inspection)
    else:
        for line in _lines(inspection):
            console.answer(line)
    return 0


def _lines(inspection: dict[str, Any]) -> list[str]:
    lines = aligned([_SERIES_HEADING, *(_series_row(series) for series in inspection["series"])])
    volume = inspection["volume"]
    if volume is not None:
        hu = volume["hu"]
        lines += [
            "",
            f"shape        {_joined(volume['shape'])}",
            f"spacing      {_joined(volume['spacing_mm'])} mm",
            f"orientation  {volume['orientation']}",
            f"HU           {hu['min']:.0f} to {hu['max']:.0f}, mean {hu['mean']:.1f}",
            f"sha256       {hu['sha256']}",
        ]
    for skipped in inspection["skipped"]:
        lines.append(f"skipped  [{skipped['code']}] {skipped['file']}: {skipped['reason']}")
    for warning in inspection["warnings"]:
        lines.append(f"warning  [{warning['code']}] {warning['message']}")
    return lines


_SERIES_HEADING = ("", "series", "modality", "files", "shape", "spacing mm", "reason")


def _series_row(series: dict[str, Any]) -> tuple[str, ...]:
    return (
        "*" if series["chosen"] else "",
        str(series["index"]),
        series["modality"],
        str(series["n_files"]),
        _joined(series["shape"]),
        _joined(series["spacing_mm"]),
        series["reason"],
    )


def _joined(sizes: Sequence[float] | None) -> str:
    return "" if sizes is None else " x ".join(f"{size:.6g}" for size in sizes)


INSPECT = Command("inspect", "show what is in a study and what would be read", _add_options, _run)
