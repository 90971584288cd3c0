"""Facts for a report of trouble: versions, device, stages and codes; no name of a file or patient.

Reasons and messages may quote a study, so only their codes stand here.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Final

import cspine_zoo as cz
from jobs import Failure
from peaks import Peak

_PARTS: Final = ("torch", "numpy", "pydicom", "streamlit")


def diagnostics(
    ct: cz.CTVolume | None,
    comparison: cz.Comparison | None,
    failures: Sequence[Failure] = (),
    peaks: Mapping[str, Peak] | None = None,
) -> str:
    """One fact a line, as far as there are any.

    Args:
        ct: the study that was read.
        comparison: the run's result.
        failures: of reading and of running.
        peaks: memory by stage.
    """
    lines = [
        f"cspine_zoo {cz.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}",
        ", ".join(f"{part} {version(part)}" for part in _PARTS),
    ]
    if ct is not None:
        lines += _of_study(ct)
    if comparison is not None:
        lines += _of_run(comparison)
    lines += [
        f"most memory, {stage}: {peak.process_bytes / 1e9:.2f} GB, card {peak.card_bytes / 1e9:.2f}"
        for stage, peak in (peaks or {}).items()
    ]
    for failure in failures:
        lines.append(f"failed: {failure.code}")
        lines += failure.details.splitlines()
    return "\n".join(lines)


def _of_study(ct: cz.CTVolume) -> list[str]:
    geometry, report = ct.geometry, ct.report
    return [
        f"study: {' x '.join(map(str, geometry.shape))}, "
        f"{' x '.join(f'{mm:.3f}' for mm in geometry.spacing_mm)} mm, {geometry.orientation}",
        f"series: {len(report.series)}; files used: {len(report.used)}; "
        f"skipped: {_counted(file.code for file in report.skipped)}",
        f"read in {report.seconds:.1f} s; warnings: {_counted(w.code for w in report.warnings)}",
    ]


def _of_run(comparison: cz.Comparison) -> list[str]:
    lines = [f"warnings of the run: {_counted(w.code for w in comparison.study.warnings)}"]
    for prediction in comparison.predictions:
        seconds = prediction.seconds
        lines.append(
            f"{prediction.model} {prediction.weights_sha256[:12]} on {prediction.segmenter} "
            f"{prediction.segmenter_sha256[:12]}, {prediction.device}, {prediction.precision}: "
            f"prepare {seconds.prepare:.1f} s, segment {seconds.segment:.1f} s, "
            f"classify {seconds.classify:.1f} s"
        )
    return lines


def _counted(codes: Iterable[str]) -> str:
    counts = Counter(codes)
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items())) or "none"
