"""Every preset that ships builds, and its row is one that the manifest takes."""

import pytest
import torch

from cspine_zoo.models.registry import build
from cspine_zoo.models.segmenter import Segmenter
from cspine_zoo.training.classifier_presets import CLASSIFIERS, LIGHT
from cspine_zoo.training.localizer_presets import LOCALIZERS
from cspine_zoo.training.presets import PRESETS
from cspine_zoo.training.recipes import (
    ClassifierPreset,
    LocalizerPreset,
    SegmenterPreset,
    SharedEncoderPreset,
)
from cspine_zoo.training.rows import NOT_VALIDATED, Provenance, rows_without_weights, trained_row
from cspine_zoo.training.segmenter_presets import SEGMENTER, SEGMENTERS
from cspine_zoo.zoo.manifest import ManifestEntry, read_manifest

PROVENANCE = Provenance("cspine-zoo train x", "a CPU", 3.0)


@pytest.mark.parametrize("preset", CLASSIFIERS, ids=lambda preset: preset.name)
def test_a_classifier_takes_the_channels_of_its_crops(preset: ClassifierPreset) -> None:
    assert preset.arguments["in_channels"] == len(preset.preprocess.channels)
    assert preset.segmenter == SEGMENTER.name
    row = trained_row(preset, PROVENANCE)
    assert ManifestEntry.from_dict(row.to_dict()) == row
    assert row.limitations[0] == NOT_VALIDATED
    assert row.calibration is not None
    assert row.metrics == ()
    assert ("ImageNet" in row.training_data) == isinstance(preset, SharedEncoderPreset)


def test_classifiers_differ_in_their_heads_alone() -> None:
    """Comparing the rows compares heads: everything else is the same."""
    first = LIGHT[0]
    for preset in LIGHT:
        assert preset.preprocess == first.preprocess
        assert (preset.seed, preset.shards, preset.head_passes) == (
            first.seed,
            first.shards,
            first.head_passes,
        )
        different = {
            key for key, value in preset.arguments.items() if value != first.arguments.get(key)
        }
        assert different <= {"sequence", "pooling", "patient"}


@pytest.mark.parametrize("preset", SEGMENTERS, ids=lambda preset: preset.name)
def test_a_segmenters_patches_fit_its_network(preset: SegmenterPreset) -> None:
    with torch.device("meta"):
        network = build(preset.architecture, preset.arguments)
    assert isinstance(network, Segmenter)
    for shape in preset.patches.shapes:
        assert all(n % d == 0 for n, d in zip(shape, network.divisors, strict=True))
    assert preset.preprocess.spacing_mm == preset.patches.axes_mm
    row = trained_row(preset, PROVENANCE)
    assert ManifestEntry.from_dict(row.to_dict()) == row
    assert len(row.labels) == preset.arguments["out_channels"]


@pytest.mark.parametrize("preset", LOCALIZERS, ids=lambda preset: preset.name)
def test_a_localizer_looks_at_the_crops_of_the_classifiers(preset: LocalizerPreset) -> None:
    assert preset.preprocess == LIGHT[0].preprocess
    assert preset.arguments["in_channels"] == len(preset.preprocess.channels)
    row = trained_row(preset, PROVENANCE)
    assert ManifestEntry.from_dict(row.to_dict()) == row
    assert row.task == "fracture-localization"
    assert "ImageNet" not in row.training_data


def test_presets_go_by_the_name_of_their_row() -> None:
    assert all(preset.name == name for name, preset in PRESETS.items())
    assert len(PRESETS) == len(SEGMENTERS) + len(CLASSIFIERS) + len(LOCALIZERS)


@pytest.mark.slow
def test_the_manifest_has_a_row_for_every_preset() -> None:
    """`python -m cspine_zoo.training.unweighted` writes those without weights."""
    manifest = read_manifest()
    assert rows_without_weights(manifest) == manifest
    assert {row.name for row in manifest if not row.files} <= set(PRESETS)
