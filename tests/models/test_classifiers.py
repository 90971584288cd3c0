"""The classifiers of the source systems: their size, and what a missing vertebra changes."""

import pytest
import torch

from cspine_zoo.errors import WeightsError
from cspine_zoo.models.heads import head_of, last_bias
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.registry import build
from cspine_zoo.models.sequence import RecurrentSequence, SpatialDropout
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.zoo.manifest import read_manifest

# Worked out from the papers and notebooks of the two systems with torch and timm, in millions.
_PUBLISHED = {
    "cls-bilstm-resnet18": 14.47,
    "cls-bilstm-effv2s": 25.0,
    "cls-seven-bilstm-vgg16": 14.75,
    "cls-bigru-attention-effv2s": 24.05,
    "cls-bigru-attention-resnest50d": 30.49,
}


@pytest.mark.parametrize("name", _PUBLISHED)
def test_a_network_has_as_many_parameters_as_the_published_one(name: str) -> None:
    """What the rows state is counted by the tests of the presets."""
    millions = read_manifest()[name].parameters / 1e6
    digits = len(str(_PUBLISHED[name]).partition(".")[2])
    assert round(millions, digits) == _PUBLISHED[name]


def _spine(**changes: object) -> SpineClassifier:
    torch.manual_seed(1)
    arguments = {
        "backbone": "test_resnet",
        "in_channels": 2,
        "features": 6,
        "sequence": "lstm",
        "hidden": 5,
        "pooling": "mean",
        "patient": "head",
    }
    network = build("spine-classifier", arguments | changes)
    assert isinstance(network, SpineClassifier)
    return network.eval()


def _spines(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 7, 3, 2, 32, 32, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def _run(network: SpineClassifier, *inputs: torch.Tensor) -> ClassifierOutput:
    output: ClassifierOutput = network(*inputs)
    return output


PRESENT = torch.tensor([[True] * 7, [False, True, True, False, True, True, False]])


@pytest.mark.parametrize("head", ["linear", "norm-mlp"])
def test_what_stands_in_the_place_of_a_missing_vertebra_changes_nothing(head: str) -> None:
    network, images = _spine(head=head, layers=2), _spines()
    output = _run(network, images, PRESENT)
    changed = images.clone()
    changed[~PRESENT] = float("nan")
    again = _run(network, changed, PRESENT)
    assert torch.equal(again.logit, output.logit)
    assert output.patient_logit is not None
    assert again.patient_logit is not None
    assert torch.equal(again.patient_logit, output.patient_logit)
    assert output.logit[~PRESENT].tolist() == [0.0] * 3
    assert output.slice_weights[~PRESENT].sum() == 0
    assert torch.allclose(output.slice_weights[PRESENT].sum(1), torch.ones(11))


def test_a_spine_without_a_vertebra_is_read_as_one_of_the_others() -> None:
    """Leaving the third out is the same as having a spine of six."""
    network, images = _spine(), _spines(1)
    present = torch.ones(1, 7, dtype=torch.bool)
    present[0, 2] = False
    left_out = _run(network, images, present)
    others = [0, 1, 3, 4, 5, 6]
    six = _run(network, images[:, others])
    torch.testing.assert_close(left_out.logit[:, others], six.logit)
    torch.testing.assert_close(left_out.patient_logit, six.patient_logit)


def test_all_there_is_the_same_as_nothing_said() -> None:
    network, images = _spine(), _spines()
    said = _run(network, images, torch.ones(2, 7, dtype=torch.bool))
    unsaid = _run(network, images)
    torch.testing.assert_close(said.logit, unsaid.logit)
    torch.testing.assert_close(said.slice_logits, unsaid.slice_logits)
    torch.testing.assert_close(said.patient_logit, unsaid.patient_logit)


def test_spines_do_not_depend_on_others_of_their_batch() -> None:
    network, images = _spine(), _spines()
    together = _run(network, images, PRESENT)
    alone = _run(network, images[1:], PRESENT[1:])
    torch.testing.assert_close(together.logit[1:], alone.logit)


def test_a_vertebra_is_judged_in_the_light_of_its_neighbours() -> None:
    network, images = _spine(), _spines(1)
    changed = images.clone()
    changed[:, 3] += 1
    apart = _run(network, changed).logit - _run(network, images).logit
    assert bool((apart.abs() > 1e-7).all())


def test_the_way_through_a_spine_is_one_way_down() -> None:
    """Slices come lowest first, vertebrae from the top: turned over as a whole, it is read so."""
    network, images = _spine(), _spines(1)
    features = network.encoder(images.flatten(0, 1)).unflatten(0, (1, 7))
    with torch.inference_mode():
        read = network.sequence(features.flip(2).flatten(1, 2))
        lowest_of_c1 = network.judge(read.unflatten(1, (7, 3)).flip(2)[:, 0]).slice_logits[0, 0]
        output = network(images)
        assert output.slice_logits[0, 0, 0] == pytest.approx(float(lowest_of_c1), abs=1e-6)
        assert output.slice_logits[0, 0, 0] == pytest.approx(
            float(network.head(read[0, 2])), abs=1e-6
        )


def test_only_rows_that_say_so_have_a_patient_head() -> None:
    assert _run(_spine(patient="any"), _spines()).patient_logit is None
    assert _run(_spine(patient="blend"), _spines()).patient_logit is not None
    for wrong in (
        {"patient": "mean"},
        {"sequence": None},
        {"encoder_pool": "cells", "features": None},
    ):
        with pytest.raises(WeightsError) as caught:
            _spine(**wrong)
        assert caught.value.code == "bad_architecture"


def test_pooled_features_are_judged_once() -> None:
    """The logit is the head's answer to the weighted mean of what the slices look like."""
    torch.manual_seed(1)
    network = SliceClassifier(
        backbone="test_resnet",
        in_channels=2,
        features=None,
        sequence="gru",
        hidden=4,
        layers=2,
        pooling="attention",
        pooled="features",
        head="mlp",
        feature_dropout=0.1,
    ).eval()
    features = torch.randn(3, 5, network.encoder.out_features)
    with torch.inference_mode():
        output = network.score(features)
        hidden = network.sequence(features)
        mean = (output.slice_weights[..., None] * hidden).sum(1)
        torch.testing.assert_close(output.logit, network.head(mean)[:, 0])
        torch.testing.assert_close(output.slice_logits[:, 2], network.head(hidden[:, 2])[:, 0])


def test_cells_stand_one_after_another() -> None:
    torch.manual_seed(1)
    network = build(
        "slice-classifier",
        {
            "backbone": "test_resnet",
            "in_channels": 1,
            "features": 2,
            "sequence": None,
            "hidden": 1,
            "pooling": "mean",
            "encoder_pool": "cells",
        },
    )
    assert isinstance(network, SliceClassifier)
    assert network.encoder.out_features == 2 * 7 * 7
    assert network.encoder(torch.zeros(1, 3, 1, 64, 64)).shape == (1, 3, 98)


def test_kept_slices_are_read_as_if_there_were_no_others() -> None:
    torch.manual_seed(1)
    network = RecurrentSequence("gru", 3, 4, layers=2)
    features = torch.randn(2, 6, 3)
    kept = torch.tensor([[True, False, True, True, False, False], [True] * 6])
    with torch.inference_mode():
        read = network(features, kept)
        torch.testing.assert_close(read[:1, [0, 2, 3]], network(features[:1, [0, 2, 3]]))
        torch.testing.assert_close(read[1:], network(features[1:]))
    assert bool((read[0, [1, 4, 5]] == 0).all())


def test_a_feature_is_left_out_of_all_slices_or_of_none() -> None:
    torch.manual_seed(1)
    dropped = SpatialDropout(0.5)(torch.ones(2, 9, 30))
    out = dropped == 0
    assert bool((out.all(1) == out.any(1)).all())
    assert 0 < int(out.any(1).sum()) < 60


def test_the_last_bias_moves_the_logit_by_itself() -> None:
    for kind in ("linear", "norm-mlp", "mlp"):
        head = head_of(kind, 6).eval()
        features = torch.randn(2, 3, 6)
        with torch.inference_mode():
            before = head(features)
            last_bias(head).add_(0.5)
            torch.testing.assert_close(head(features), before + 0.5)
    with pytest.raises(ValueError, match="linear"):
        head_of("deep", 6)
