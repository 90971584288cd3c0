"""Streams are named; noise and waves are what they say, at any resolution."""

import numpy as np
import pytest
import torch

from cspine_zoo.synthetic.acquisition import blur
from cspine_zoo.synthetic.randomness import Waves, noise, stream
from cspine_zoo.synthetic.scene import Scene


def test_a_stream_depends_on_seed_and_names_alone() -> None:
    assert stream(3, "bone", 4).random() == stream(3, "bone", 4).random()
    others = [stream(4, "bone", 4), stream(3, "soft", 4), stream(3, "bone", 5), stream(3, "bone")]
    assert stream(3, "bone", 4).random() not in [other.random() for other in others]


def test_the_streams_that_trained_the_shipped_weights_have_not_moved() -> None:
    """If this fails, the commands on the model cards no longer make the shipped weights."""
    scene = Scene.draw(1)
    drawn = [
        stream(1, "study").random(),
        scene.tissues.cortex,
        scene.body.girth,
        *scene.world("C1"),
        *scene.spine["C5"].frame.scale,
        scene.spine["C7"].warp.phases[0],
    ]
    assert drawn == pytest.approx(EXPECTED_OF_SEED_1, rel=1e-9)
    broken = scene.fractured()
    assert [level for level in broken.spine if broken.spine[level].fracture.cuts] == BROKEN_OF_1


EXPECTED_OF_SEED_1 = [
    0.9481527663510418,
    1017.1613621545664,
    1.001071925730274,
    -17.720860824430023,
    11.741844139712263,
    93.21199675768001,
    0.9913103278046956,
    0.9542475013889516,
    0.7780248237269012,
    4.704203182773992,
]
BROKEN_OF_1 = ["C7"]


def test_waves_are_the_same_field_at_every_resolution() -> None:
    waves = Waves.draw(stream(1, "waves"), 2, 1.5, (10.0, 40.0))
    fine = torch.linspace(0, 50, 101, dtype=torch.float64).expand(3, -1).contiguous()
    torch.testing.assert_close(waves.at(fine)[:, ::4], waves.at(fine[:, ::4].contiguous()))


def test_waves_have_the_amplitude_asked_for() -> None:
    generator = torch.Generator().manual_seed(1)
    where = 500 * torch.randn(3, 2000, generator=generator, dtype=torch.float64)
    spread = [
        float(Waves.draw(stream(seed, "waves"), 1, 2.0, (5.0, 20.0)).at(where).std())
        for seed in range(60)
    ]
    assert float(np.sqrt(np.mean(np.square(spread)))) == pytest.approx(2.0, rel=0.2)


def test_noise_is_smooth_below_its_correlation_length() -> None:
    grid = noise(stream(1, "n"), (40, 40, 40), (1.0, 1.0, 1.0), 5.0)
    assert float(grid.std()) == pytest.approx(1.0, rel=0.05)
    near = torch.corrcoef(torch.stack((grid[1:].flatten(), grid[:-1].flatten())))[0, 1]
    far = torch.corrcoef(torch.stack((grid[15:].flatten(), grid[:-15].flatten())))[0, 1]
    assert float(near) > 0.85
    assert abs(float(far)) < 0.15


def test_large_voxels_average_noise_away() -> None:
    fine, coarse = (
        float(noise(stream(1, "n"), (20, 20, 20), (size,) * 3, 1.0).std()) for size in (1.0, 3.0)
    )
    assert coarse == pytest.approx(fine / 27**0.5, rel=0.05)


def test_blur_keeps_the_mean_and_spreads_a_point() -> None:
    volume = torch.zeros(3, 21, 3)
    volume[1, 10, 1] = 1.0
    blurred = blur(volume, 1, 2.0)
    assert float(blurred.sum()) == pytest.approx(1.0)
    line = blurred[1, :, 1]
    at = torch.arange(21) - 10.0
    assert float((line * at**2).sum()) == pytest.approx(4.0, rel=0.05)
    assert float(blurred[0].abs().sum()) == 0.0
    assert blur(volume, 1, 0.1) is volume
