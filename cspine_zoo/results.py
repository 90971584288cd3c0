"""What comes out: one study's predictions, in the words of the JSON contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import Notice, SkippedFile

SCHEMA_VERSION: Final = "1"

Point = tuple[float, float, float]


@dataclass(frozen=True)
class SliceScore:
    """What a classifier made of one slice of a vertebra.

    Attributes:
        position_mm: world z of the slice's centre.
        weight: share of the slice in the vertebra's score (attention or pooling), or None.
        probability: the slice's own probability, or None where the variant has none.
    """

    position_mm: float
    weight: float | None
    probability: float | None


@dataclass(frozen=True)
class VertebraPrediction:
    """One level: where it is, how much of it is in view, and how likely it is fractured.

    ``probability`` is calibrated, ``threshold`` the classifier's operating point. A level that
    was not found has neither centroid nor probability.
    """

    level: str
    found: bool
    visible_fraction: float
    centroid_mm: Point | None
    probability: float | None
    threshold: float
    slices: tuple[SliceScore, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A region suspected of fracture: an axis-aligned world box in mm with its score."""

    level: str
    score: float
    box_mm: tuple[Point, Point]
    slice_index: int
    model: str


@dataclass(frozen=True, eq=False)
class RegionHeat:
    """A localizer's score of a fracture at each point of one vertebra, not calibrated.

    Attributes:
        level: such as ``"C5"``.
        probabilities: float32 (slices, rows, columns), 0 to 1.
        geometry: where column, row and slice, in this order, lie in the patient.
    """

    level: str
    probabilities: NDArray[np.float32]
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class SensitivityMap:
    """How much each place of a vertebra raises a classifier's score of it.

    Attributes:
        level: such as ``"C5"``.
        model: the classifier's name.
        values: float32 (slices, rows, columns) of the classifier's crop, 0 to 1, where 1 is the
            most sensitive place of this vertebra; all 0 where no place raises the score. They
            compare within a map, not between maps.
        geometry: where column, row and slice, in this order, lie in the patient.
        cell_mm: extent along columns and rows of a cell of the network's feature map; the map
            resolves nothing finer.
    """

    level: str
    model: str
    values: NDArray[np.float32]
    geometry: Geometry
    cell_mm: tuple[float, float]


@dataclass(frozen=True)
class StageSeconds:
    """Wall time of each stage; stages that variants share count once in each of them."""

    read: float
    prepare: float
    segment: float
    classify: float
    total: float


@dataclass(frozen=True)
class ModelPrediction:
    """All that one classifier says about one study."""

    model: str
    weights_sha256: str
    segmenter: str
    segmenter_sha256: str
    localizer: str | None
    package_version: str
    device: str
    precision: str
    patient_overall: float | None
    threshold: float
    vertebrae: tuple[VertebraPrediction, ...]
    findings: tuple[Finding, ...]
    seconds: StageSeconds

    def vertebra(self, level: str) -> VertebraPrediction:
        """The row of ``level``, such as ``"C5"``."""
        return next(vertebra for vertebra in self.vertebrae if vertebra.level == level)


@dataclass(frozen=True)
class StudySummary:
    """Technical facts of the study; nothing that identifies the patient."""

    shape: tuple[int, int, int]
    spacing_mm: Point
    orientation: str
    n_slices: int
    skipped: tuple[SkippedFile, ...] = ()
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Vertebra labels on the study's own grid: 0; 1-7 C1-C7; 8 T1 and every level below."""

    labels: NDArray[np.uint8]
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class StudyPrediction:
    """Predictions of one or more classifiers for one study, on one shared label map.

    ``heat`` is what a localizer saw in each level that was found, and its findings came from;
    empty without one.
    """

    study: StudySummary
    predictions: tuple[ModelPrediction, ...]
    label_map: LabelMap | None = field(default=None, repr=False)
    heat: tuple[RegionHeat, ...] = field(default=(), repr=False)

    @property
    def patient_overall(self) -> float | None:
        """Probability of any cervical fracture, by the first classifier."""
        return self.predictions[0].patient_overall if self.predictions else None

    def to_dict(self) -> dict[str, Any]:
        """The object of ``cspine-zoo predict --json``; it names the files that were skipped."""
        return {
            "schema_version": SCHEMA_VERSION,
            "study": asdict(self.study),
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }

    def to_json(self, indent: int | None = 2, *, file_names: bool = True) -> str:
        """``to_dict`` as JSON text; never NaN or infinity.

        Args:
            indent: spaces a level, None for one line.
            file_names: whether skipped files are named, which is for the study's owner only.
        """
        answer = self.to_dict() if file_names else without_file_names(self.to_dict())
        return json.dumps(answer, indent=indent, allow_nan=False)

    def to_csv(self) -> str:
        """One line a classifier and level, patient overall included."""
        from cspine_zoo.export.table import to_csv  # the export layer stands above this one

        return to_csv(self)


@dataclass(frozen=True, eq=False)
class Comparison(StudyPrediction):
    """Several classifiers on one segmentation of one study."""

    def models(self) -> tuple[str, ...]:
        """Names in the order that was asked for."""
        return tuple(prediction.model for prediction in self.predictions)

    def probabilities(self, row: str) -> tuple[float | None, ...]:
        """One probability a classifier for ``row``: a level, or ``"patient_overall"``."""
        if row == "patient_overall":
            return tuple(prediction.patient_overall for prediction in self.predictions)
        return tuple(prediction.vertebra(row).probability for prediction in self.predictions)

    def thresholds(self, row: str) -> tuple[float, ...]:
        """Each classifier's operating point for ``row``."""
        if row == "patient_overall":
            return tuple(prediction.threshold for prediction in self.predictions)
        return tuple(prediction.vertebra(row).threshold for prediction in self.predictions)

    def difference(self, row: str) -> float | None:
        """Largest minus smallest probability among the classifiers; None if nothing was scored."""
        known = [p for p in self.probabilities(row) if p is not None]
        return max(known) - min(known) if known else None

    def mean(self, row: str) -> float | None:
        """The ensemble: the mean of the classifiers' probabilities; None if nothing was scored.

        It has no threshold. Each classifier's own was chosen for that classifier alone, and nobody
        has chosen one for their mean.
        """
        known = [p for p in self.probabilities(row) if p is not None]
        return fmean(known) if known else None

    def margins(self, row: str) -> tuple[float | None, ...]:
        """Each classifier's probability minus its own threshold: how far its vote is from turning.

        Negative under the threshold; None where nothing was scored.
        """
        pairs = zip(self.probabilities(row), self.thresholds(row), strict=True)
        return tuple(None if p is None else p - threshold for p, threshold in pairs)

    def votes(self, row: str) -> tuple[int, int]:
        """Classifiers at or above their own threshold, and classifiers that scored the row."""
        scored = [margin >= 0 for margin in self.margins(row) if margin is not None]
        return sum(scored), len(scored)

    def agree(self, row: str) -> bool | None:
        """Whether all classifiers fall on the same side of their thresholds."""
        above, scored = self.votes(row)
        return None if scored == 0 else above in (0, scored)


def without_file_names(answer: dict[str, Any]) -> dict[str, Any]:
    """The object of ``predict --json`` as it may be kept: a file's name can hold a patient's.

    Skipped files become ``"skipped file 1 of 12"``; their codes and reasons stay.
    """
    skipped = answer["study"]["skipped"]
    kept = [
        {**file, "file": f"skipped file {number} of {len(skipped)}"}
        for number, file in enumerate(skipped, start=1)
    ]
    return {**answer, "study": {**answer["study"], "skipped": kept}}


def rows(levels: Sequence[str]) -> tuple[str, ...]:
    """Levels followed by the patient: the rows of every table and plot."""
    return (*levels, "patient_overall")
