"""The lines that repeat a run elsewhere."""

from __future__ import annotations

import cspine_zoo as cz
from own import row_name
from state import Study

_STUDY = "study.zip"


def python_lines(study: Study, comparison: cz.Comparison) -> str:
    """Python that gives the same numbers; an upload's name is left to its owner."""
    source = f'"{_STUDY}"'
    if any(sample.name == study.sample for sample in cz.sample_studies()):
        source = f'next(s.path for s in cz.sample_studies() if s.name == "{study.sample}")'
    series = _chosen_series(study.ct)
    chosen = "" if series is None else f", series={series}"
    first = comparison.predictions[0]
    own = [model for model in comparison.models() if row_name(model) is not None]
    lines = [
        f"# cspine_zoo {first.package_version}, on {first.device}, {first.precision}",
        *(["from dataclasses import replace", ""] if own else []),
        "import cspine_zoo as cz",
        "",
        f"ct = cz.read_ct({source}{chosen})",
    ]
    names = [f'"{model}"' for model in comparison.models()]
    for number, model in enumerate(own, start=1):
        lines += [
            f'own_{number} = cz.load_model("{row_name(model)}.safetensors")  # your file',
            f'own_{number}.entry = replace(own_{number}.entry, name="{model}")',
        ]
        names[comparison.models().index(model)] = f"own_{number}"
    localizer = "" if first.localizer is None else f', localizer="{first.localizer}"'
    lines += [
        f"result = cz.compare(ct, [{', '.join(names)}]{localizer})",
        "print(result.to_json())",
    ]
    return "\n".join(lines)


def command_line(study: Study, comparison: cz.Comparison) -> str:
    """The command that does the same; own weights are given as their file."""
    files = [
        model if row_name(model) is None else f"{row_name(model)}.safetensors"
        for model in comparison.models()
    ]
    models = " ".join(f"--model {file}" for file in files)
    series = _chosen_series(study.ct)
    localizer = comparison.predictions[0].localizer
    parts = [
        f"cspine-zoo predict {_STUDY}",
        "" if series is None else f"--series {series}",
        models,
        "" if localizer is None else f"--localizer {localizer}",
        "--out result --format json,csv,html,nifti",
    ]
    return " ".join(filter(None, parts))


def _chosen_series(ct: cz.CTVolume) -> int | None:
    """The series that was read, where another could have been."""
    readable = [series for series in ct.report.series if series.shape is not None]
    if len(readable) < 2:
        return None
    return next((series.index for series in readable if series.chosen), None)
