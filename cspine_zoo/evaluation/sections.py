"""The sections of the report, each from figures, curves and pictures that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation import charts, tables
from cspine_zoo.evaluation.bootstrap import N_RESAMPLES, Resamples
from cspine_zoo.evaluation.curves import Confusion, confusion, precision_recall, reliability, roc
from cspine_zoo.evaluation.evaluated import Evaluated, short_names
from cspine_zoo.evaluation.metrics import (
    ECE_BINS,
    Items,
    average_precision,
    best_constant,
    challenge_log_loss,
)
from cspine_zoo.evaluation.pictures import Pictures
from cspine_zoo.evaluation.report import ModelRecords
from cspine_zoo.evaluation.scores import Scores
from cspine_zoo.evaluation.worst import Mistake
from cspine_zoo.rsna.split import twin_groups

_RSNA_CONSTANT: Final = 0.5573  # the best constant on RSNA's training table

Drawn = Mapping[int, Pictures | str]
"""Pictures by the index of the study, or the code of the error that there was."""


@dataclass(eq=False)
class Sections:
    """What stands in a report, each section as HTML; charts are numbered as they are made."""

    evaluated: Evaluated
    drawn: Drawn | None
    charts_made: int = 0
    names: dict[str, str] = field(init=False)
    figures: dict[str, Any] = field(init=False)
    scores: dict[str, Scores] = field(init=False)

    def __post_init__(self) -> None:
        self.names = short_names(list(self.evaluated.models))
        models = self.evaluated.result["models"]
        self.figures = {short: models[name] for name, short in self.names.items()}
        own = self.evaluated.scores()
        self.scores = {short: own[name] for name, short in self.names.items()}
        self.resamples = Resamples.draw(twin_groups(self.evaluated.rows))

    def overview(self) -> str:
        """What was evaluated, and one line a model."""
        rows, result = self.evaluated.rows, self.evaluated.result
        n_fractured = sum(row.patient_overall for row in rows)
        n_vertebrae = sum(sum(row.levels) for row in rows)
        labels = next(iter(self.scores.values())).labels
        constant = challenge_log_loss(np.tile(best_constant(labels), (len(rows), 1)), labels).mean()
        return (
            f"<p>{result['n_studies']} {'synthetic ' if self.evaluated.synthetic else ''}studies, "
            f"{n_fractured} with a fracture, {n_vertebrae} fractured vertebrae. "
            f"{_missing(result['n_missing'])}</p>"
            f"{tables.overview(self.figures)}"
            f"<p class='faint'>Small figures are 95 % intervals from {N_RESAMPLES} bootstrap "
            "resamples of studies, twins together. Log loss is the RSNA 2022 challenge's; lower is "
            "better. The same probabilities for every study reach at best "
            f"{constant:.4f} on these studies and {_RSNA_CONSTANT} on RSNA's training table: a "
            "model whose interval reaches up to that has learned nothing that can be shown. "
            f"ECE is the expected calibration error of vertebrae in {ECE_BINS} bins. Twins differ "
            "by the fracture alone, so their order is far easier than diagnosis and no accuracy."
            "</p>"
        )

    def discrimination(self) -> str:
        """ROC, precision-recall and operating points, by patient and by vertebra."""
        parts = []
        for of, title in (("patient", "Patients"), ("vertebra", "Vertebrae C1 to C7, pooled")):
            items = {name: self._items(name, of) for name in self.scores}
            first = next(iter(items.values()))
            prevalence = float(first.labels.mean()) if len(first.labels) else 0.0
            six = {name: model[of] for name, model in self.figures.items()}
            roc_chart = charts.curve_chart(
                {name: roc(own) for name, own in items.items()},
                {name: _roc_point(own) for name, own in six.items()},
                ("1 - specificity", "Recall"),
                ((0, 1), (0, 1)),
            )
            pr_chart = charts.curve_chart(
                {name: precision_recall(own) for name, own in items.items()},
                {
                    name: (own["recall"]["value"], own["precision"]["value"])
                    for name, own in six.items()
                },
                ("Recall", "Precision"),
                ((0, 1), (prevalence, prevalence)),
            )
            table = tables.operating_points(
                self.figures,
                of,
                {name: float(own.thresholds[0]) for name, own in items.items()},
                {
                    name: self.resamples.figure(average_precision(own))
                    for name, own in items.items()
                },
            )
            grid = self._grid(("ROC curve", roc_chart), ("Precision-recall curve", pr_chart))
            parts.append(f"<h3>{title}</h3>{grid}{table}")
        note = "Dots are the operating points of the manifest; dotted lines are a guess."
        return f"<p class='faint'>{note}</p>" + "".join(parts)

    def calibration(self) -> str:
        """Reliability of vertebrae, with counts."""
        bins = {
            name: reliability(own.vertebrae(), self.resamples) for name, own in self.scores.items()
        }
        details = "".join(
            f"<h3>{tables.label(name, index)}: ECE {_value(self.figures[name]['ece'])}</h3>"
            f"{tables.reliability_bins(own)}"
            for index, (name, own) in enumerate(bins.items())
        )
        chart = self._grid(("Reliability of vertebrae", charts.reliability_chart(bins)))
        return f"{self._legend()}{chart}<details><summary>Bins</summary>{details}</details>"

    def levels(self) -> str:
        """AUC, confusion and the six figures of each level."""
        aucs = {
            name: [model["per_level"][level]["auc"] for level in LEVELS]
            for name, model in self.figures.items()
        }
        shown = [("AUC per level", charts.interval_chart(LEVELS, aucs, "AUC", chance=0.5))]
        counts = {name: _confusions(own) for name, own in self.scores.items()}
        for name, own in counts.items():
            shown.append((f"{name}: calls at its thresholds", charts.confusion_chart(own)))
        details = "".join(
            f"<h3>{tables.label(name, index)}</h3>{tables.per_level(model, counts[name])}"
            for index, (name, model) in enumerate(self.figures.items())
        )
        return f"{self._legend()}{self._grid(*shown)}{details}"

    def strata(self) -> str:
        """Halves of the data."""
        of_model = {name: tables.halves(model["strata"]) for name, model in self.figures.items()}
        words = [text for text, _ in next(iter(of_model.values()))]
        if not words:
            return ""
        aucs = {
            name: [half["vertebra"]["auc"] for _, half in own] for name, own in of_model.items()
        }
        recalls = {
            name: [half["vertebra"]["recall"] for _, half in own] for name, own in of_model.items()
        }
        details = "".join(
            f"<h3>{tables.label(name, index)}</h3>{tables.strata(model)}"
            for index, (name, model) in enumerate(self.figures.items())
        )
        note = (
            "Halves are cut at the median. Conspicuity and displacement are the fracture's: all "
            "whole studies stand against either half."
        )
        grid = self._grid(
            ("Vertebra AUC", charts.interval_chart(words, aucs, "AUC", chance=0.5)),
            ("Vertebra recall", charts.interval_chart(words, recalls, "Recall")),
        )
        return (
            f"<p class='faint'>{note}</p>{self._legend()}{grid}"
            f"<details><summary>Tables</summary>{details}</details>"
        )

    def comparison(self) -> str:
        """Each two models."""
        if not self.evaluated.pairs:
            return ""
        note = (
            "Paired bootstrap over studies: both models are judged on the same resamples. The "
            "first is the better one where its log loss is lower or its AUC higher. p is two-sided "
            "and not corrected for the number of comparisons."
        )
        table = tables.comparisons(self.evaluated.pairs, self.names)
        return f"<p class='faint'>{note}</p>{table}"

    def segmentation(self) -> str:
        """Each segmenter once; models share them."""
        known: dict[str, Any] = {}
        for name, short in self.names.items():
            model = self.figures[short]
            if any(figure["n"] for figure in model["dice"].values()):
                known.setdefault(_segmenter(self.evaluated.models[name]), model)
        if not known:
            return ""
        dice = {name: list(model["dice"].values()) for name, model in known.items()}
        chart = self._grid(("Dice per level", charts.interval_chart(LEVELS, dice, "Dice")))
        note = (
            "Identified: the nearest true centre is the vertebra's own and within 20 mm, of those "
            "at least half visible. Centroid error in mm."
        )
        return f"{chart}{tables.segmenters(known)}<p class='faint'>{note}</p>"

    def findings(self) -> str:
        """Regions, for models that name any."""
        if not any(model["findings"]["recall"]["n"] for model in self.figures.values()):
            return ""
        return tables.findings(self.figures)

    def worst(self) -> str:
        """The studies with the largest loss, with pictures where there may be any."""
        named = self.evaluated.synthetic or self.drawn is not None
        studies = [self._study(mistake, named) for mistake in self.evaluated.worst()]
        note = "Largest log loss, all models together; of each, the vertebra that cost most."
        if self.drawn:
            note += (
                " Cuts run through its fracture, or its middle. Outlines are the true vertebrae, "
                "red the true fracture; the cross marks the predicted centre. Anterior is left of "
                "the sagittal and on top of the axial cut, the patient's right on its left."
            )
        return f"<p class='faint'>{note}</p><div class='grid'>{''.join(studies)}</div>"

    def _study(self, mistake: Mistake, named: bool) -> str:
        row = self.evaluated.rows[mistake.study]
        title = row.uid if named else f"Study {mistake.study + 1} in the order of UIDs"
        true = [level for level, flag in zip(LEVELS, row.levels, strict=True) if flag]
        said = tables.table(
            ("Model", "Log loss", f"P({mistake.level})"),
            (
                (
                    tables.label(short, index),
                    f"{mistake.log_loss[name]:.3f}",
                    _probability(mistake.probability[name]),
                )
                for index, (name, short) in enumerate(self.names.items())
            ),
        )
        return (
            f"<figure class='study'><figcaption>{escape(title)}</figcaption>"
            f"<p>Fractured: {', '.join(true) or 'none'}. Most mistaken: {mistake.level}, "
            f"{'fractured' if mistake.fractured else 'whole'}.</p>"
            f"{self._cuts(mistake)}{said}</figure>"
        )

    def _cuts(self, mistake: Mistake) -> str:
        pictures = (self.drawn or {}).get(mistake.study)
        if pictures is None:
            return ""
        if isinstance(pictures, str):
            return f"<p class='faint'>No pictures ({escape(pictures)}).</p>"
        return "<div class='cuts'>" + "".join(
            f"<img src='{address}' alt='{plane} cut through {mistake.level}'>"
            for plane, address in (("Sagittal", pictures.sagittal), ("Axial", pictures.axial))
        ) + "</div>"  # fmt: skip

    def _items(self, name: str, of: str) -> Items:
        scores = self.scores[name]
        return scores.patients() if of == "patient" else scores.vertebrae()

    def _legend(self) -> str:
        labels = (tables.label(name, index) for index, name in enumerate(self.names.values()))
        return f"<p class='legend'>{' '.join(labels)}</p>"

    def _grid(self, *shown: tuple[str, go.Figure]) -> str:
        return f"<div class='grid'>{''.join(self._chart(*each) for each in shown)}</div>"

    def _chart(self, caption: str, figure: go.Figure) -> str:
        self.charts_made += 1
        own = f"chart-{self.charts_made}"
        # Names stand in the figure as text; "<" could end the script that holds it.
        content = figure.to_json().replace("<", "\\u003c")
        options = "{responsive: true, displayModeBar: false}"
        return (
            f"<figure><figcaption>{escape(caption)}</figcaption><div id='{own}' "
            f"style='height:{figure.layout.height}px'></div><script>{{const figure = {content};"
            f"Plotly.newPlot('{own}', figure.data, figure.layout, {options});}}</script></figure>"
        )


def _confusions(scores: Scores) -> dict[str, Confusion]:
    counts = {level: confusion(scores.level(level)) for level in LEVELS}
    return {**counts, "patient": confusion(scores.patients())}


def _roc_point(six: Mapping[str, Any]) -> tuple[float | None, float | None]:
    specificity = six["specificity"]["value"]
    return None if specificity is None else 1 - specificity, six["recall"]["value"]


def _segmenter(known: ModelRecords) -> str:
    for record in known.records:
        if record.prediction is not None:
            return str(record.prediction.get("segmenter") or "segmenter")
    return "segmenter"


def _missing(count: int) -> str:
    if not count:
        return "Every study has a prediction."
    return f"{count} without a prediction, scored as the prevalence of RSNA's training table."


def _value(figure: Mapping[str, Any]) -> str:
    return "undefined" if figure["value"] is None else f"{figure['value']:.3f}"


def _probability(value: float | None) -> str:
    return "not scored" if value is None else f"{value:.3f}"
