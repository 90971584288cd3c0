"""What every architecture of the registry promises, whatever is inside it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cspine_zoo.errors import WeightsError
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.registry import ARCHITECTURES, build

_CLASSES = 10
_SLICES = 4
_NETWORKS: dict[str, nn.Module] = {}
_EACH_PART_ONCE = ((None, "mean"), ("gru", "top-k"), ("lstm", "attention"))


@dataclass(frozen=True)
class Case:
    """One architecture with arguments that keep it small, and an input for it."""

    name: str
    architecture: str
    arguments: dict[str, Any]
    shape: tuple[int, ...]

    def network(self) -> nn.Module:
        """The case's network, made once; whoever changes it takes a copy."""
        if self.name not in _NETWORKS:
            torch.manual_seed(3)
            _NETWORKS[self.name] = build(self.architecture, self.arguments)
        return _NETWORKS[self.name]

    def batch(self) -> Tensor:
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(4))


def _unet(fold: int) -> Case:
    arguments = {"in_channels": 1, "out_channels": _CLASSES, "widths": [4, 6], "fold": fold}
    return Case(f"unet3d-fold{fold}", "unet3d", arguments, (2, 1, 8, 12, 16))


def _classifier(sequence: str | None, pooling: str) -> Case:
    arguments = {
        "backbone": "tf_efficientnet_lite0",
        "in_channels": 4,
        "features": 8,
        "sequence": sequence,
        "hidden": 5,
        "pooling": pooling,
        "top_k": 2,
    }
    return Case(f"{sequence}-{pooling}", "slice-classifier", arguments, (2, _SLICES, 4, 32, 32))


SEGMENTERS = [_unet(1), _unet(2)]
CLASSIFIERS = [
    _classifier(*choice)
    for choice in product((None, "gru", "lstm"), ("mean", "top-k", "attention"))
]
CASES = [*SEGMENTERS, *CLASSIFIERS]


def _named(cases: list[Case]) -> Callable[..., Any]:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def _logits(output: Tensor | ClassifierOutput) -> Tensor:
    return output if isinstance(output, Tensor) else output.logit


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
    logits = _logits(network(batch))
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(5))
    (logits * weights).sum().backward()
    still = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
    ]
    assert not still


@_named([*SEGMENTERS, *(_classifier(*choice) for choice in _EACH_PART_ONCE)])
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
    assert _run(network, case.batch()).shape == (2, _CLASSES, *case.shape[2:])
    assert all(size % int(network.divisor) == 0 for size in case.shape[2:])


@_named(CLASSIFIERS)
def test_the_logit_is_the_weighted_mean_of_the_slices(case: Case) -> None:
    with torch.inference_mode():
        output: ClassifierOutput = case.network().eval()(case.batch())
    assert output.logit.shape == (2,)
    assert output.slice_logits.shape == output.slice_weights.shape == (2, _SLICES)
    assert bool((output.slice_weights >= 0).all())
    torch.testing.assert_close(output.slice_weights.sum(1), torch.ones(2))
    expected = (output.slice_weights * output.slice_logits).sum(1)
    torch.testing.assert_close(output.logit, expected)


@pytest.mark.parametrize("pooling", ["mean", "top-k", "attention"])
def test_poolings_differ_in_what_they_look_at(pooling: str) -> None:
    with torch.inference_mode():
        output: ClassifierOutput = (
            _classifier(None, pooling).network().eval()(_classifier(None, pooling).batch())
        )
    weights = output.slice_weights[0]
    if pooling == "mean":
        assert torch.equal(weights, torch.full((_SLICES,), 1 / _SLICES))
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
    [{"pooling": "max"}, {"sequence": "transformer"}, {"backbone": "no_such"}, {"colour": "red"}],
    ids=str,
)
def test_wrong_arguments_are_an_error_of_the_row(changes: dict[str, str]) -> None:
    arguments = _classifier(None, "mean").arguments | changes
    with pytest.raises(WeightsError) as caught:
        build("slice-classifier", arguments)
    assert caught.value.code == "bad_architecture"
