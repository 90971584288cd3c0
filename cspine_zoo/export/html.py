"""A report of one study as a single HTML file: no scripts, no other files, nothing from the net."""

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.results import (
    Comparison,
    ModelPrediction,
    StudyPrediction,
    StudySummary,
    rows,
)

NOTICE: Final = (
    "For research and education only. Not a medical device; not for diagnosis or triage; "
    "not FDA-cleared or CE-marked; unvalidated on your scanner."
)

# Okabe and Ito's palette: told apart with any colour vision (https://jfly.uni-koeln.de/color/).
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")

BAR_WIDTH: Final = 360
BAR_HEIGHT: Final = 14

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; }
.notice { border-left: 4px solid #d55e00; background: #fff4ec; padding: .6rem 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.apart { background: #fff8dc; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
.faint { color: #666; }
code { font-size: .85em; word-break: break-all; }
"""


def to_html(prediction: StudyPrediction, *, truth: Mapping[str, int] | None = None) -> str:
    """A report that opens in any browser, offline.

    Files that were left out are counted, not named: a file's name can hold a patient's.

    Args:
        prediction: one study, any number of classifiers.
        truth: where it is known, 1 for a fracture and 0 for none, by level and for
            ``"patient_overall"``.

    Returns:
        One HTML document; every text in it is escaped.
    """
    parts = [
        f"<h1>Cervical spine fractures on CT</h1>\n<p class='notice'>{escape(NOTICE)}</p>",
        _verdicts(prediction),
        _probabilities(prediction, truth or {}),
        _study(prediction.study),
        _models(prediction.predictions),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width'>\n"
        f"<title>Cervical spine fracture report</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _verdicts(prediction: StudyPrediction) -> str:
    sentences = []
    for index, model in enumerate(prediction.predictions):
        over = [
            f"{vertebra.level} ({vertebra.probability:.2f})"
            for vertebra in model.vertebrae
            if vertebra.probability is not None and vertebra.probability >= vertebra.threshold
        ]
        levels = f"over the threshold: {', '.join(over)}" if over else "no level over the threshold"
        patient = "not scored"
        if model.patient_overall is not None:
            side = "at or over" if model.patient_overall >= model.threshold else "below"
            patient = f"{model.patient_overall:.2f}, {side} the threshold of {model.threshold:.2f}"
        sentences.append(
            f"<li>{_key(index)}<strong>{escape(model.model)}</strong>: "
            f"any fracture {patient}; {levels}.</li>"
        )
    return f"<ul>{''.join(sentences)}</ul>" if sentences else "<p>No classifier was run.</p>"


def _probabilities(prediction: StudyPrediction, truth: Mapping[str, int]) -> str:
    if not prediction.predictions:
        return ""
    comparison = Comparison(prediction.study, prediction.predictions)
    several = len(prediction.predictions) > 1
    headings = ["Level", "Probability (the line is the model's threshold)"]
    headings += ["Mean", "Difference", "Over threshold"] if several else []
    headings += ["Truth"] if truth else []
    lines = [_row("th", headings)]
    for row in rows(LEVELS):
        cells = [escape(_row_name(row)), _bars(comparison, row)]
        if several:
            above, scored = comparison.votes(row)
            cells += [_two_digits(comparison.mean(row)), _two_digits(comparison.difference(row))]
            cells.append(f"{above} of {scored}")
        if truth:
            cells.append({0: "no fracture", 1: "fracture"}.get(truth.get(row, -1), ""))
        apart = several and comparison.agree(row) is False
        lines.append(_row("td", cells, "apart" if apart else ""))
    note = (
        "<p class='faint'>Mean: of the models' probabilities, all alike; it has no threshold, for "
        "nobody has chosen one for it.</p>"
    )
    table = f"<h2>Probability of fracture</h2>\n<table>{''.join(lines)}</table>"
    return table + note if several else table


def _two_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _bars(comparison: Comparison, row: str) -> str:
    values = comparison.probabilities(row)
    height = BAR_HEIGHT * len(values)
    shapes = []
    for index, (value, threshold) in enumerate(
        zip(values, comparison.thresholds(row), strict=True)
    ):
        top = index * BAR_HEIGHT
        text = "not scored" if value is None else f"{value:.3f}"
        length = 0.0 if value is None else value * BAR_WIDTH
        tick = threshold * BAR_WIDTH
        shapes.append(
            f"<rect x='0' y='{top + 2}' width='{length:.1f}' height='{BAR_HEIGHT - 4}' "
            f"fill='{_colour(index)}'/>"
            f"<line x1='{tick:.1f}' x2='{tick:.1f}' y1='{top}' y2='{top + BAR_HEIGHT}' "
            "stroke='#1b1b1b'/>"
            f"<text x='{BAR_WIDTH + 8}' y='{top + BAR_HEIGHT - 3}' font-size='11'>{text}</text>"
        )
    return (
        f"<svg width='{BAR_WIDTH + 80}' height='{height}' role='img' "
        f"aria-label='{escape(_bars_in_words(comparison, row))}'>"
        f"<rect width='{BAR_WIDTH}' height='{height}' fill='#f2f2f2'/>{''.join(shapes)}</svg>"
    )


def _bars_in_words(comparison: Comparison, row: str) -> str:
    values = zip(comparison.models(), comparison.probabilities(row), strict=True)
    return "; ".join(
        f"{model}: {'not scored' if value is None else f'{value:.3f}'}" for model, value in values
    )


def _study(study: StudySummary) -> str:
    left_out = Counter(skipped.code for skipped in study.skipped)
    facts = {
        "Shape": " x ".join(str(size) for size in study.shape),
        "Spacing": " x ".join(f"{size:.3f}" for size in study.spacing_mm) + " mm",
        "Orientation": study.orientation,
        "Slices": str(study.n_slices),
        "Files left out": ", ".join(f"{n} ({code})" for code, n in left_out.items()) or "none",
    }
    table = "".join(_row("td", [escape(name), escape(value)]) for name, value in facts.items())
    notices = "".join(f"<li>{escape(notice.message)}</li>" for notice in study.warnings)
    warnings = f"<h3>Warnings</h3>\n<ul>{notices}</ul>" if notices else ""
    return f"<h2>Study</h2>\n<table>{table}</table>{warnings}"


def _models(predictions: Iterable[ModelPrediction]) -> str:
    headings = ["Model", "Segmenter", "Device", "Read", "Prepare", "Segment", "Classify", "Total"]
    lines = [_row("th", headings)]
    version = ""
    for index, model in enumerate(predictions):
        version = model.package_version
        seconds = model.seconds
        stages = (
            seconds.read,
            seconds.prepare,
            seconds.segment,
            seconds.classify,
            seconds.total,
        )
        lines.append(
            _row(
                "td",
                [
                    _key(index) + _with_digest(model.model, model.weights_sha256),
                    _with_digest(model.segmenter, model.segmenter_sha256),
                    escape(f"{model.device}, {model.precision}"),
                    *(f"{stage:.1f} s" for stage in stages),
                ],
            )
        )
    if not version:
        return ""
    made = f"<p class='faint'>Made with cspine_zoo {escape(version)}.</p>"
    return f"<h2>Models and seconds</h2>\n<table>{''.join(lines)}</table>\n{made}"


def _with_digest(name: str, sha256: str) -> str:
    return f"{escape(name)}<br><code class='faint'>{escape(sha256)}</code>"


def _key(index: int) -> str:
    return f"<span class='key' style='background:{_colour(index)}'></span>"


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _row_name(row: str) -> str:
    return "Any fracture" if row == PATIENT_OVERALL else row


def _row(cell: str, cells: Iterable[str], style: str = "") -> str:
    kind = f" class='{style}'" if style else ""
    return f"<tr{kind}>" + "".join(f"<{cell}>{text}</{cell}>" for text in cells) + "</tr>"
