"""The operating point of a localizer: how hot a region must be to be a finding."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import StudyRejected, UsageError
from cspine_zoo.evaluation.evaluate import studies_of
from cspine_zoo.evaluation.findings import FindingScore, score_findings, true_fractures
from cspine_zoo.inference.classify import Crops
from cspine_zoo.inference.loading import ModelLike, find_model
from cspine_zoo.inference.localize import localize, regions
from cspine_zoo.inference.precision import FLOAT32
from cspine_zoo.inference.segment import DEFAULT_SEGMENTER, segment_with
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.zoo.model import ZooModel

MOST_FALSE: Final = 1.0
"""False findings a study that an operating point may give, on average."""

_HEATS: Final = tuple((1.0 / (1.0 + np.exp(-np.linspace(-4.0, 5.0, 37)))).round(4).tolist())
"""0.018 to 0.993, a quarter of a logit apart."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeatPoint:
    """An operating point, and what it gives on the studies that it was chosen on.

    Attributes:
        least_heat: of a finding, 0 to 1.
        recall: share of the fractures in view that a finding names.
        false_per_study: findings that name none.
        n_studies: that were judged.
    """

    least_heat: float
    recall: float
    false_per_study: float
    n_studies: int


def choose_heat(
    data: Path,
    model: ModelLike,
    *,
    segmenter: ModelLike | None = None,
    device: str = "auto",
) -> HeatPoint:
    """The heat that names the most fractures at no more than one false finding a study.

    Of several equally good ones, the highest raises the fewest alarms. Studies that cannot be
    read, or of which nobody says where they are fractured, take no part.

    Args:
        data: directory in the RSNA 2022 layout.
        model: a localizer.
        segmenter: in place of the localizer's own.
        device: ``"auto"`` or a torch device.

    Raises:
        StudyRejected: ``data`` is not in the layout.
        UsageError: an unknown model, or no study with a fracture of known place.
        WeightsError: a model's weights cannot be had.
    """
    localizer = find_model(model, "fracture-localization", device)
    vertebrae = find_model(
        segmenter or localizer.entry.segmenter or DEFAULT_SEGMENTER, "vertebra-segmentation", device
    )
    studies = list(_judged(studies_of(data), localizer, vertebrae))
    return best_point(studies)


def best_point(studies: Sequence[Sequence[FindingScore]]) -> HeatPoint:
    """Choose from the scores of each study at each heat, the lowest heat first.

    Raises:
        UsageError: there is no fracture to find.
    """
    fractures = sum(scores[0].fractures for scores in studies)
    if not fractures:
        raise UsageError(
            "no_fractures",
            "No study has a fracture of known place.",
            hint="Synthetic studies say where their fractures are; real ones need boxes.",
        )
    points = [
        HeatPoint(
            least_heat,
            sum(scores[place].recalled for scores in studies) / fractures,
            sum(scores[place].false for scores in studies) / len(studies),
            len(studies),
        )
        for place, least_heat in enumerate(_HEATS)
    ]
    # At the highest heat there may still be too many: then it is the least bad one.
    quiet = [point for point in points if point.false_per_study <= MOST_FALSE] or points[-1:]
    return max(quiet, key=lambda point: (point.recall, point.least_heat))


def _judged(
    rows: Sequence[StudyRow], localizer: ZooModel, vertebrae: ZooModel
) -> Iterator[list[FindingScore]]:
    name = localizer.entry.name
    for row in rows:
        try:
            ct = read_ct(row.images)
            fractures = true_fractures(row, ct.geometry)
            if fractures is None:
                continue
            found = segment_with(ct, vertebrae, FLOAT32)
        except StudyRejected as error:
            _log.warning("%s: [%s] %s", row.uid, error.code, error.reason)
            continue
        crops = Crops(ct, found.label_map)
        heat = localize(localizer, found.levels, crops, lambda _: None).heat
        yield [
            score_findings(
                [
                    finding
                    for region in heat
                    for finding in regions(
                        region, np.arange(len(region.probabilities)), name, least_heat
                    )
                ],
                fractures,
            )
            for least_heat in _HEATS
        ]
