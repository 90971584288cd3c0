"""Every preset that ships builds, and its row is one that the manifest takes."""

import pytest

from cspine_zoo.models.registry import build
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.unet3d import UNet3D
from cspine_zoo.training.presets import CLASSIFIERS, PRESETS, SEGMENTER, ClassifierPreset
from cspine_zoo.training.rows import NOT_VALIDATED, Provenance, classifier_row, segmenter_row
from cspine_zoo.zoo.manifest import ManifestEntry

PROVENANCE = Provenance("cspine-zoo train x", "a CPU", 3.0)


@pytest.mark.parametrize("preset", CLASSIFIERS, ids=lambda preset: preset.name)
def test_a_classifier_takes_the_channels_of_its_crops(preset: ClassifierPreset) -> None:
    network = build(preset.architecture, preset.arguments)
    assert isinstance(network, SliceClassifier)
    assert preset.arguments["in_channels"] == len(preset.preprocess.channels)
    assert preset.segmenter == SEGMENTER.name
    row = classifier_row(preset, PROVENANCE)
    assert ManifestEntry.from_dict(row.to_dict()) == row
    assert row.limitations[0] == NOT_VALIDATED
    assert row.calibration is not None
    assert row.metrics == ()


def test_classifiers_differ_in_their_heads_alone() -> None:
    """Comparing the rows compares heads: everything else is the same."""
    first = CLASSIFIERS[0]
    for preset in CLASSIFIERS:
        assert preset.preprocess == first.preprocess
        assert (preset.seed, preset.shards, preset.head_passes) == (
            first.seed,
            first.shards,
            first.head_passes,
        )
        different = {
            key for key, value in preset.arguments.items() if value != first.arguments[key]
        }
        assert different <= {"sequence", "pooling"}


def test_the_segmenters_patches_fit_its_network() -> None:
    network = build(SEGMENTER.architecture, SEGMENTER.arguments)
    assert isinstance(network, UNet3D)
    for shape in SEGMENTER.patches.shapes:
        assert all(size % network.divisor == 0 for size in shape)
    assert SEGMENTER.preprocess.spacing_mm == (SEGMENTER.patches.spacing_mm,) * 3
    row = segmenter_row(SEGMENTER, PROVENANCE)
    assert ManifestEntry.from_dict(row.to_dict()) == row
    assert len(row.labels) == SEGMENTER.arguments["out_channels"]


def test_presets_go_by_the_name_of_their_row() -> None:
    assert list(PRESETS) == [SEGMENTER.name, *(preset.name for preset in CLASSIFIERS)]
