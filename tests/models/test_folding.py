"""Folding voxels into channels loses nothing and mixes nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine_zoo.models.unet3d import fold_voxels, unfold_voxels


@settings(max_examples=25, deadline=None)
@given(
    factor=st.integers(1, 3),
    cells=st.tuples(*[st.integers(1, 3)] * 3),
    channels=st.integers(1, 3),
)
def test_unfolding_undoes_folding_exactly(
    factor: int, cells: tuple[int, int, int], channels: int
) -> None:
    i, j, k = (n * factor for n in cells)
    volume = torch.arange(2 * channels * i * j * k).reshape(2, channels, i, j, k)
    folded = fold_voxels(volume, factor)
    assert folded.shape == (2, channels * factor**3, *cells)
    assert torch.equal(unfold_voxels(folded, factor), volume)


@pytest.mark.parametrize("cell", [(0, 0, 0), (1, 0, 2)])
def test_a_cell_holds_its_own_voxels(cell: tuple[int, int, int]) -> None:
    volume = torch.arange(4 * 4 * 6).reshape(1, 1, 4, 4, 6)
    i, j, k = cell
    own = volume[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2]
    assert fold_voxels(volume, 2)[0, :, i, j, k].tolist() == own.flatten().tolist()
