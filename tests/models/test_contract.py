"""What every architecture of the registry promises, whatever is inside it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cspine_zoo.errors import WeightsError
from cspine_zoo.inference.precision import to_input
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.registry import ARCHITECTURES, build
from cspine_zoo.models.segmenter import Segmenter
from tests.models.cases import (
    CASES,
    CLASSES,
    CLASSIFIERS,
    LOCALIZERS,
    QUICK,
    SEGMENTERS,
    SLICES,
    Case,
    classifier,
    vary_vectors,
    without_gradient,
)


def _named(cases: list[Case]) -> Callable[..., Any]:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _logits(output: Tensor | ClassifierOutput) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if output.patient_logit is None:
        return output.logit
    return torch.cat((output.logit, output.patient_logit[:, None]), dim=1)


@torch.inference_mode()
def _run(network: nn.Module, batch: Tensor) -> Tensor:
    return _logits(network.eval()(batch))


def test_every_architecture_is_held_to_the_contract() -> None:
    assert {case.architecture for case in CASES} == set(ARCHITECTURES)


@_named(CASES)
def test_a_prediction_repeats_itself_and_does_not_depend_on_the_batch(case: Case) -> None:
    network, batch = case.network(), case.batch()
    together = _run(network, batch)
    assert torch.equal(_run(network, batch), together)
    alone = torch.cat([_run(network, one[None]) for one in batch])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[0], together[1])


@_named(CASES)
def test_gradient_reaches_every_parameter(case: Case) -> None:
    network, batch = copy.deepcopy(case.network()).train(), case.batch()
    vary_vectors(network)
    logits = _logits(network(batch))
    assert logits.dtype == torch.float32
    assert not without_gradient(network, logits)
    assert all(parameter.grad is None for parameter in frozen(network))


def frozen(network: nn.Module) -> list[nn.Parameter]:
    """Parameters that published checkpoints hold and nothing reads."""
    return [parameter for parameter in network.parameters() if not parameter.requires_grad]


@_named([*SEGMENTERS, *LOCALIZERS])
def test_what_a_network_only_carries_changes_no_answer(case: Case) -> None:
    network = copy.deepcopy(case.network())
    before = _run(network, case.batch())
    assert bool(frozen(network)) == ("carried" in case.arguments)
    for parameter in frozen(network):
        parameter.data.fill_(float("nan"))
    assert torch.equal(_run(network, case.batch()), before)


@_named(QUICK)
def test_layout_in_memory_and_half_precision_change_little(case: Case) -> None:
    """``to_input`` lays inputs out; bfloat16 has 8 bits, and what comes out stays float-sized."""
    network, batch = case.network(), case.batch()
    plain = _run(network, batch)
    inner = batch if case in SEGMENTERS else batch.flatten(0, -4)
    laid = to_input(inner, torch.device("cpu")).reshape(batch.shape)
    torch.testing.assert_close(_run(network, laid), plain, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = _run(network, batch).float()
    assert float((half.sigmoid() - plain.sigmoid()).abs().max()) < 0.03


@_named(QUICK)
def test_weights_survive_a_file(case: Case, tmp_path: Path) -> None:
    network = case.network()
    before = _run(network, case.batch())
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    again = build(case.architecture, case.arguments)
    assert not torch.equal(_run(again, case.batch()), before)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    assert torch.equal(_run(again, case.batch()), before)


@_named(SEGMENTERS)
def test_a_segmenter_labels_every_voxel(case: Case) -> None:
    network = case.network()
    assert isinstance(network, Segmenter)
    assert network.largest_block >= torch.Size(case.shape).numel()
    smallest = torch.zeros(1, 1, *network.divisors)
    for batch in (case.batch(), smallest):
        answer = _run(network, batch)
        assert answer.shape == (len(batch), CLASSES, *batch.shape[2:])
    assert all(n % d == 0 for n, d in zip(case.shape[2:], network.divisors, strict=True))


@_named(LOCALIZERS)
def test_a_localizer_judges_every_pixel_of_every_slice(case: Case) -> None:
    network, batch = case.network(), case.batch()
    together = _run(network, batch)
    assert together.shape == (2, SLICES, *case.shape[3:])
    alone = _run(network, batch[:, 1:2])
    torch.testing.assert_close(alone, together[:, 1:2], atol=1e-5, rtol=1e-4)


@_named(CLASSIFIERS)
def test_the_logit_is_the_weighted_mean_of_the_slices(case: Case) -> None:
    with torch.inference_mode():
        output: ClassifierOutput = case.network().eval()(case.batch())
    assert output.logit.shape == (2,)
    assert output.slice_logits.shape == output.slice_weights.shape == (2, SLICES)
    assert bool((output.slice_weights >= 0).all())
    torch.testing.assert_close(output.slice_weights.sum(1), torch.ones(2))
    expected = (output.slice_weights * output.slice_logits).sum(1)
    torch.testing.assert_close(output.logit, expected)


@pytest.mark.parametrize("pooling", ["mean", "top-k", "attention"])
def test_poolings_differ_in_what_they_look_at(pooling: str) -> None:
    with torch.inference_mode():
        output: ClassifierOutput = (
            classifier(None, pooling).network().eval()(classifier(None, pooling).batch())
        )
    weights = output.slice_weights[0]
    if pooling == "mean":
        assert torch.equal(weights, torch.full((SLICES,), 1 / SLICES))
    elif pooling == "top-k":
        chosen = output.slice_logits[0].topk(2).indices
        assert weights[chosen].tolist() == [0.5, 0.5]
        assert int((weights > 0).sum()) == 2
    else:
        assert bool((weights > 0).all())
        assert weights.unique().numel() > 1


@_named([case for case in CLASSIFIERS if not case.name.startswith("None")])
def test_a_sequence_model_reads_the_slices_in_order(case: Case) -> None:
    network, batch = case.network(), case.batch()
    assert not torch.allclose(_run(network, batch.flip(1)), _run(network, batch), atol=1e-6)


@_named([case for case in CLASSIFIERS if case.name.startswith("None")])
def test_without_a_sequence_model_their_order_does_not_matter(case: Case) -> None:
    network, batch = case.network(), case.batch()
    torch.testing.assert_close(
        _run(network, batch.flip(1)), _run(network, batch), atol=1e-5, rtol=1e-4
    )


def test_an_unknown_architecture_is_named_with_the_known_ones() -> None:
    with pytest.raises(WeightsError) as caught:
        build("unet4d", {})
    assert caught.value.code == "unknown_architecture"
    assert all(name in caught.value.hint for name in ARCHITECTURES)


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "max"},
        {"sequence": "transformer"},
        {"backbone": "no_such"},
        {"backbone": "hf-hub:owner/model"},  # would be a request
        {"backbone": "local-dir:model"},
        {"backbone": 5},
        {"colour": "red"},
    ],
    ids=str,
)
def test_wrong_arguments_are_an_error_of_the_row(changes: dict[str, Any]) -> None:
    arguments = classifier(None, "mean").arguments | changes
    with pytest.raises(WeightsError) as caught:
        build("slice-classifier", arguments)
    assert caught.value.code == "bad_architecture"
