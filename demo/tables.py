"""Rows of the page's tables; cells are Markdown, made of our own words and numbers only."""

from collections.abc import Mapping, Sequence
from typing import Any

import cspine_zoo as cz
from peaks import Peak
from verdict import closest, mean_name, short_names

_TRUTH = {1: "◆ fracture", 0: "◇ none"}


def probability_rows(comparison: cz.Comparison, truth: Mapping[str, int]) -> list[dict[str, str]]:
    """One row a level and one for the patient: each variant, the difference, the agreement."""
    return [_row(comparison, row, truth) for row in (*cz.LEVELS, cz.PATIENT_OVERALL)]


def _row(comparison: cz.Comparison, row: str, truth: Mapping[str, int]) -> dict[str, str]:
    cells = {"Level": "**Patient**" if row == cz.PATIENT_OVERALL else f"**{row}**"}
    short = short_names(comparison.models())
    triples = zip(
        comparison.models(), comparison.probabilities(row), comparison.thresholds(row), strict=True
    )
    for model, value, threshold in triples:
        cells[short[model]] = _beside(value, threshold)
    if len(comparison.models()) > 1:
        mean, difference = comparison.mean(row), comparison.difference(row)
        cells[mean_name(comparison).capitalize()] = "–" if mean is None else f"{mean:.3f}"
        cells["Difference"] = "–" if difference is None else f"{difference:.3f}"
        above, scored = comparison.votes(row)
        word = {True: "agree", False: "**disagree**", None: "not scored"}[comparison.agree(row)]
        cells["Over threshold"] = f"{above} of {scored}, {word}" if scored else word
        cells["Closest call"] = "–"
        if scored:
            model, margin = closest(comparison, row)
            sign = "+" if margin >= 0 else "\N{MINUS SIGN}"
            cells["Closest call"] = f"{sign}{abs(margin):.3f}, {short[model]}"
    if row != cz.PATIENT_OVERALL:
        vertebra = comparison.predictions[0].vertebra(row)
        cells["In view"] = f"{vertebra.visible_fraction:.0%}" if vertebra.found else "not found"
    else:
        cells["In view"] = ""
    if truth:
        cells["Truth"] = _TRUTH.get(truth.get(row, -1), "")
    return cells


def _beside(value: float | None, threshold: float) -> str:
    """A probability beside its variant's own threshold, on whichever side it is."""
    if value is None:
        return "–"
    if value >= threshold:
        return f"**{value:.3f}\N{NO-BREAK SPACE}≥\N{NO-BREAK SPACE}{threshold:.3f}**"
    return f"{value:.3f}\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}{threshold:.3f}"


def timing_rows(
    comparison: cz.Comparison, peaks: Mapping[str, Peak] | None = None
) -> list[dict[str, str]]:
    """Seconds by stage, device and precision of each variant; then memory, which all share."""
    short = short_names(comparison.models())
    rows = [
        {
            "Variant": short[prediction.model],
            "Read": _seconds(prediction.seconds.read),
            "Prepare": _seconds(prediction.seconds.prepare),
            "Segment": _seconds(prediction.seconds.segment),
            "Classify": _seconds(prediction.seconds.classify),
            "Total": _seconds(prediction.seconds.total),
            "Device": f"{prediction.device}, {prediction.precision}",
        }
        for prediction in comparison.predictions
    ]
    held = dict(peaks or {})
    if "localize" in held:  # its seconds count as classification, too
        held["classify"] = held.pop("localize").or_more(held.get("classify", Peak()))
    kinds = {
        "Most memory": {stage: peak.process_bytes for stage, peak in held.items()},
        "On the card": {stage: peak.card_bytes for stage, peak in held.items()},
    }
    return rows + [_memory_row(title, held) for title, held in kinds.items() if any(held.values())]


def _seconds(value: float) -> str:
    return f"{value:.1f}\N{NO-BREAK SPACE}s"


def _memory_row(title: str, held: Mapping[str, int]) -> dict[str, str]:
    cells = {"Variant": title, "Read": "–"}
    for stage in ("prepare", "segment", "classify"):
        cells[stage.capitalize()] = _gigabytes(held[stage]) if stage in held else "–"
    return {**cells, "Total": _gigabytes(max(held.values())), "Device": ""}


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f}\N{NO-BREAK SPACE}GB"


def metric_rows(metrics: Sequence[Any]) -> list[dict[str, str]]:
    """The figures of one model with their intervals."""
    return [
        {
            "Figure": metric.name,
            "Value": f"{metric.value:.3f}",
            "95 % interval": f"{metric.ci95[0]:.3f} to {metric.ci95[1]:.3f}"
            if metric.ci95
            else "–",
        }
        for metric in metrics
    ]


def series_rows(series: Sequence[Any]) -> list[dict[str, str]]:
    """What a study holds, and which of it was read."""
    return [
        {
            "": "●" if entry.chosen else "",
            "index": str(entry.index),
            "modality": entry.modality,
            "files": str(entry.n_files),
            "voxels": " × ".join(str(size) for size in entry.shape) if entry.shape else "–",
            "reason": entry.reason,
        }
        for entry in series
    ]
