"""One study as two classifiers might see it, with every kind of gap that an export meets."""

import numpy as np

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import Notice, SkippedFile
from cspine_zoo.results import (
    LabelMap,
    ModelPrediction,
    SliceScore,
    StageSeconds,
    StudyPrediction,
    StudySummary,
    VertebraPrediction,
)


def _model(name: str, c5: float) -> ModelPrediction:
    vertebrae = []
    for index, level in enumerate(LEVELS):
        found = level != "C1"
        vertebrae.append(
            VertebraPrediction(
                level=level,
                found=found,
                visible_fraction=1.0 if found else 0.0,
                centroid_mm=(1.0, -20.125, -15.5 * index) if found else None,
                probability=None if not found else c5 if level == "C5" else 0.01 * index,
                threshold=0.4,
                slices=(SliceScore(position_mm=-15.5 * index, weight=1.0, probability=None),),
            )
        )
    return ModelPrediction(
        model=name,
        weights_sha256="a" * 64,
        segmenter="seg-unet3d-small",
        segmenter_sha256="b" * 64,
        localizer=None,
        package_version="0.0.0",
        device="cpu",
        precision="float32",
        patient_overall=c5,
        threshold=0.5,
        vertebrae=tuple(vertebrae),
        findings=(),
        seconds=StageSeconds(0.5, 0.1, 2.0, 1.0, 3.6),
    )


def example_label_map() -> LabelMap:
    """A label map on an oblique grid."""
    labels = np.zeros((5, 6, 7), dtype=np.uint8)
    labels[1, 2, 3] = 5
    labels[4, 5, 0] = 8
    affine = np.array([[0.5, 0, 0, -10], [0, 0.48, 0.35, 20], [0, -0.14, 1.2, -30], [0, 0, 0, 1]])
    return LabelMap(labels, Geometry((5, 6, 7), affine))


def example_prediction() -> StudyPrediction:
    """Two classifiers that differ over C5; C1 is not in view."""
    study = StudySummary(
        shape=(5, 6, 7),
        spacing_mm=(0.5, 0.5, 1.25),
        orientation="RAS",
        n_slices=7,
        skipped=(SkippedFile("DOE^JANE.dcm", "not_ct", "a localizer"),),
        warnings=(Notice("level_uncertain", "Neither C1/C2 nor <T1> is in view."),),
    )
    models = (_model("cls-one", 0.91), _model("cls-<b>two</b>", 0.2))
    return StudyPrediction(study, models, example_label_map())
