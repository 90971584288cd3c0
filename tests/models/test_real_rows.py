"""The contract once more, for segmenters and localizers as large as they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cspine_zoo.models.registry import build
from cspine_zoo.models.segmenter import Segmenter
from cspine_zoo.training.localizer_presets import LOCALIZERS
from cspine_zoo.training.recipes import LocalizerPreset, SegmenterPreset
from cspine_zoo.training.segmenter_presets import SEGMENTERS
from cspine_zoo.zoo.manifest import read_manifest
from tests.models.cases import vary_vectors, without_gradient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("preset", [*SEGMENTERS, *LOCALIZERS], ids=lambda preset: preset.name),
]


def test_a_row_as_large_as_it_is(preset: SegmenterPreset | LocalizerPreset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build(preset.architecture, preset.arguments)
    row = read_manifest()[preset.name]
    assert sum(parameter.numel() for parameter in network.parameters()) == row.parameters
    batch = _smallest(network, preset)
    with torch.inference_mode():
        before = network.eval()(batch)
        save_file(network.state_dict(), tmp_path / "weights.safetensors")
        again = build(preset.architecture, preset.arguments).eval()
        again.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
        assert torch.equal(again(batch), before)
        torch.testing.assert_close(again(batch[:1]), before[:1], atol=1e-5, rtol=1e-3)

    vary_vectors(network)
    assert not without_gradient(network, network.train()(batch))


def _smallest(network: torch.nn.Module, preset: SegmenterPreset | LocalizerPreset) -> torch.Tensor:
    if isinstance(preset, LocalizerPreset):
        return torch.randn(2, 2, preset.arguments["in_channels"], 64, 64)
    assert isinstance(network, Segmenter)
    sizes = [2 * max(divisor, 2) for divisor in network.divisors]
    return torch.randn(2, 1, *sizes)
