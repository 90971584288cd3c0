"""The training loop: its rate, its saved state, and when it gives up."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cspine_zoo.errors import TrainingStopped, UsageError
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.loop import Batch, Run, Schedule, part_size

STEPS = 6
CPU = Devices(1, "cpu", "float32")


class Stopped(Exception):
    """The machine went away."""


def _network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))


def _schedule(steps: int = STEPS, save_every: int = 100) -> Schedule:
    return Schedule(steps, 0.05, 0.01, ema=0.8, save_every=save_every)


def _run(out: Path, schedule: Schedule | None = None) -> Run[nn.Sequential]:
    return Run(CPU.fabric(), _network(), schedule or _schedule(), out)


def _batch(step: int, part: int, parts: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(8, 3, generator=generator)
    own = inputs[part * 8 // parts : (part + 1) * 8 // parts]
    return own, own.sum(1, keepdim=True)


def _loss(network: nn.Module, batch: Batch) -> Tensor:
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
    straight = _run(tmp_path / "straight")
    straight.fit(_batch, _loss)

    def cut_off(step: int, part: int, parts: int) -> Batch:
        if step == 4:
            raise Stopped
        return _batch(step, part, parts)

    first = _run(tmp_path / "stopped", _schedule(save_every=3))
    with pytest.raises(Stopped):
        first.fit(cut_off, _loss)
    torch.manual_seed(99)
    again = _run(tmp_path / "stopped", _schedule(save_every=3))
    again.resume()
    assert again.step == 3
    again.fit(_batch, _loss)
    assert again.losses == straight.losses
    for one, other in (
        (straight.network, again.network),
        (straight.result(), again.result()),
    ):
        for name, tensor in one.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor), name
    curves = [(tmp_path / run / "curve.csv").read_text() for run in ("straight", "stopped")]
    assert curves[0] == curves[1]
    assert len(curves[0].splitlines()) == STEPS + 1


def test_a_state_of_another_schedule_is_refused(tmp_path: Path) -> None:
    _run(tmp_path).fit(_batch, _loss)
    with pytest.raises(UsageError) as caught:
        _run(tmp_path, _schedule(steps=7)).resume()
    assert caught.value.code == "other_run"


def test_the_result_is_the_average_and_in_eval_mode(tmp_path: Path) -> None:
    run = _run(tmp_path)
    run.fit(_batch, _loss)
    result = run.result()
    assert not result.training
    last, averaged = (net.state_dict()["0.weight"] for net in (run.network, result))
    assert not torch.equal(averaged, last)
    start = _network().state_dict()["0.weight"]
    assert float((averaged - start).norm()) < float((last - start).norm())


def test_without_a_saved_state_resuming_is_starting(tmp_path: Path) -> None:
    run = _run(tmp_path)
    run.resume()
    assert run.step == 0


@pytest.mark.parametrize("broken", ["loss", "gradients"])
def test_what_is_no_number_stops_the_run_and_keeps_the_last_state(
    tmp_path: Path, broken: str
) -> None:
    run = _run(tmp_path, _schedule(save_every=2))

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        value = _loss(network, batch)
        if run.step != 3:
            return value
        # The root of 0 is finite, its slope is not.
        return value * float("nan") if broken == "loss" else (value * 0).sqrt()

    with pytest.raises(TrainingStopped) as caught:
        run.fit(_batch, loss)
    assert caught.value.code == "diverged"
    assert "step 3" in caught.value.reason
    assert broken in caught.value.reason
    assert "--resume" in caught.value.hint
    again = _run(tmp_path, _schedule(save_every=2))
    again.resume()
    assert again.step == 2
    assert all(bool(t.isfinite().all()) for t in again.network.state_dict().values())


def test_training_learns(tmp_path: Path) -> None:
    run = _run(tmp_path, _schedule(steps=60))
    batch = _batch(1000, 0, 1)
    with torch.no_grad():
        before = float(_loss(run.network.eval(), batch))
    run.fit(_batch, _loss)
    with torch.no_grad():
        assert float(_loss(run.network.eval(), batch)) < 0.5 * before


def test_accumulated_parts_step_as_the_whole_batch_does(tmp_path: Path) -> None:
    """Without dropout and batch statistics, in which parts of a batch differ from it."""
    whole, parts = (
        Run(
            CPU.fabric(),
            nn.Sequential(*(_network()[n] for n in (0, 3))),
            replace(_schedule(), accumulate=accumulate),
            tmp_path / str(accumulate),
        )
        for accumulate in (1, 4)
    )
    for run in (whole, parts):
        run.fit(_batch, _loss)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """A gradient of norm 5e6 would move a weight of Adam's first step as one of norm 5 does, but
    is noticed in the moments."""
    run = _run(tmp_path, _schedule(steps=1))
    run.fit(_batch, lambda network, batch: 1e6 * _loss(network, batch))
    moments = [state["exp_avg"] for state in run.optimizer.state.values()]
    norm = torch.stack([moment.norm() for moment in moments]).norm() / (1 - 0.9)
    assert float(norm) == pytest.approx(run.schedule.clip_norm, rel=1e-3)


def test_bfloat16_trains_and_keeps_its_weights_in_float32(tmp_path: Path) -> None:
    fabric = Devices(1, "cpu", "bfloat16").fabric()
    run = Run(fabric, _network(), _schedule(), tmp_path)
    seen = []
    run.network[3].register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    run.fit(_batch, _loss)
    assert set(seen) == {torch.bfloat16}
    assert {tensor.dtype for tensor in run.network.parameters()} == {torch.float32}


def test_depthwise_convolutions_keep_float32_under_autocast(tmp_path: Path) -> None:
    """Their values and gradients are those of float32; the averaged network is left as it was."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    run = Run(Devices(1, "cpu", "bfloat16").fabric(), network, _schedule(), tmp_path)
    images = torch.randn(2, 4, 8, 8)
    depthwise, pointwise = network
    with torch.autocast("cpu", torch.bfloat16):
        values = depthwise(images)
        assert pointwise(values).dtype == torch.bfloat16
    assert torch.equal(
        values, functional.conv2d(images, depthwise.weight, depthwise.bias, groups=4)
    )
    averaged = run.result()
    with torch.autocast("cpu", torch.bfloat16):
        assert averaged[0](images).dtype == torch.bfloat16  # type: ignore[index]


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    assert part_size(8, 4) == 2
    with pytest.raises(UsageError) as caught:
        part_size(8, 3)
    assert caught.value.code == "uneven_batch"
