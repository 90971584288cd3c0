"""The training loop: its rate, its saved state, and when it gives up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cspine_zoo.errors import TrainingStopped
from cspine_zoo.training.loop import Run, Schedule

STEPS = 6


def _network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


def _schedule(steps: int = STEPS, save_every: int = 100) -> Schedule:
    return Schedule(steps, 0.05, 0.01, ema=0.8, save_every=save_every)


def _batches(start: int, stop: int = STEPS) -> Iterator[tuple[Tensor, Tensor]]:
    for step in range(start, stop):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 3, generator=generator)
        yield inputs, inputs.sum(1, keepdim=True)


def _fit(run: Run[nn.Sequential], stop: int = STEPS) -> None:
    run.fit(_batches(run.step, stop), lambda batch: _loss(run.network, batch))


def _loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return (network(batch[0]) - batch[1]).square().mean()


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    schedule = Schedule(200, 0.01, 0.0, 0.9)
    rates = [schedule.rate(step) for step in range(200)]
    assert rates[:7] == sorted(rates[:7])
    assert max(rates) == rates[5] == pytest.approx(0.01)
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert 0 < rates[0] < 0.002
    assert 0 <= rates[-1] < 1e-5


def test_a_run_of_one_step_has_a_rate() -> None:
    assert Schedule(1, 0.01, 0.0, 0.9).rate(0) == pytest.approx(0.01)


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    straight = Run(_network(), _schedule(), tmp_path / "straight")
    straight.out.mkdir()
    _fit(straight)
    first = Run(_network(), _schedule(), tmp_path / "stopped")
    first.out.mkdir()
    _fit(first, stop=3)
    torch.manual_seed(99)
    again = Run(nn.Sequential(*_network()), _schedule(), tmp_path / "stopped")
    again.resume()
    assert again.step == 3
    _fit(again)
    assert again.step == straight.step == STEPS
    for one, other in (
        (straight.network, again.network),
        (straight.result(), again.result()),
    ):
        for name, tensor in one.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor), name


def test_the_result_is_the_average_and_in_eval_mode(tmp_path: Path) -> None:
    run = Run(_network(), _schedule(), tmp_path)
    _fit(run)
    result = run.result()
    assert not result.training
    last, averaged = (net.state_dict()["0.weight"] for net in (run.network, result))
    assert not torch.equal(averaged, last)
    start = _network().state_dict()["0.weight"]
    assert float((averaged - start).norm()) < float((last - start).norm())


def test_without_a_saved_state_resuming_is_starting(tmp_path: Path) -> None:
    run = Run(_network(), _schedule(), tmp_path)
    run.resume()
    assert run.step == 0


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(tmp_path: Path) -> None:
    run = Run(_network(), _schedule(save_every=2), tmp_path)

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        value = _loss(run.network, batch)
        return value * float("nan") if run.step == 3 else value

    with pytest.raises(TrainingStopped) as caught:
        run.fit(_batches(0), loss)
    assert caught.value.code == "diverged"
    assert "--resume" in caught.value.hint
    again = Run(_network(), _schedule(), tmp_path)
    again.resume()
    assert again.step == 2
    assert all(bool(t.isfinite().all()) for t in again.network.state_dict().values())


def test_training_learns(tmp_path: Path) -> None:
    run = Run(_network(), _schedule(steps=60), tmp_path)
    (batch,) = _batches(1000, 1001)
    with torch.no_grad():
        before = float(_loss(run.network.eval(), batch))
    _fit(run, stop=60)
    with torch.no_grad():
        assert float(_loss(run.network.eval(), batch)) < 0.5 * before
