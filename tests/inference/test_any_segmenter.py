"""Every segmenter of the zoo goes the whole way, whatever its classes and its grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import CLASSES, LEVELS
from cspine_zoo.errors import ManifestError, StudyRejected
from cspine_zoo.inference.segment import segment
from cspine_zoo.training.segmenter_presets import SEGMENTERS
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.model import ZooModel
from tests.inference.phantoms import (
    SEGMENTER_PREPROCESS,
    PaintedSegmenter,
    classifier,
    ct_of,
    entry,
    grid,
    paint,
    painted_segmenter,
    spine,
)

GRID = grid((3.0, 3.0, 3.0))
TRUTH = paint(spine(), GRID)
CT = ct_of(TRUTH, GRID)


class Sigmoids(PaintedSegmenter):
    """The same opinion as one sigmoid for each level, and none of background, thorax or discs."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return super().forward(volume)[:, 1:8]


def sigmoids(labels: tuple[str, ...] = LEVELS) -> ZooModel:
    painted = painted_segmenter(CT, spine()).network
    assert isinstance(painted, PaintedSegmenter)
    return ZooModel(
        Sigmoids(painted.labels.numpy()),
        entry("seg-sigmoids", SEGMENTER_PREPROCESS, labels=labels),
        "random",
    )


def test_sigmoids_of_seven_levels_find_the_same_spine() -> None:
    found = segment(CT, sigmoids())
    assert [level.found for level in found.levels] == [True] * 7
    labels = found.label_map.labels
    for label in range(1, 8):
        own, true = labels == label, label == TRUTH
        assert 2 * (own & true).sum() > 0.8 * (own.sum() + true.sum()), CLASSES[label]
    assert labels.max() == 7  # it knows no thorax
    assert found.notices == ()


def test_a_row_whose_labels_do_not_fit_its_network_is_named() -> None:
    with pytest.raises(ManifestError) as caught:
        segment(CT, sigmoids(CLASSES))
    assert caught.value.code == "bad_labels"


def test_a_network_that_segments_nothing_is_named() -> None:
    network = classifier("cls-x").network
    model = ZooModel(network, entry("seg-x", SEGMENTER_PREPROCESS), "random")
    with pytest.raises(ManifestError) as caught:
        segment(CT, model)
    assert caught.value.code == "bad_architecture"


@pytest.mark.slow
@pytest.mark.parametrize("name", [preset.name for preset in SEGMENTERS])
def test_untrained_rows_answer_or_refuse(name: str) -> None:
    low, high = (-40.0, -50.0, 100.0), (46.0, 40.0, 168.0)
    small = grid((2.0, 2.0, 2.0), low, high)
    ct = ct_of(paint(spine(), small), small)
    model = load_model(name, "cpu", weights="random")
    code, painted = "", set(range(9))
    try:
        painted = set(np.unique(segment(ct, model, precision="float32").label_map.labels))
    except StudyRejected as error:
        code = error.code
    assert code in ("", "no_cervical_spine")
    assert painted <= set(range(9))
