"""Runs of several processes, and runs that are killed."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cspine_zoo.errors import TrainingStopped, UsageError
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.slice_encoder import EncoderTask, train_encoder
from cspine_zoo.zoo.load import load_model
from tests.training.made_up import TINY, made_up_cache
from tests.training.tiny_run import STEPS, TINY_SEGMENTER, encoder_task

ROOT = Path(__file__).parents[2]


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.training.tiny_run", *words]


def _start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_command(*words), cwd=ROOT, stderr=subprocess.DEVNULL)


def _steps(curve: Path) -> int:
    return len(curve.read_text().splitlines()) - 1 if curve.exists() else 0


def _killed_on_the_way(curve: Path, *words: str) -> int:
    """Start a run and end it as a machine that loses its power does; steps it had saved."""
    process = _start(*words)
    end = time.monotonic() + 240
    while _steps(curve) < 6 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.wait()
    return _steps(curve)


@pytest.mark.slow
def test_an_encoder_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for out in (straight, killed):
        made_up_cache(out / "crops", 8)
    assert _start("encoder", str(straight)).wait() == 0
    curve = killed / "encoder" / "curve.csv"
    assert 6 <= _killed_on_the_way(curve, "encoder", str(killed)) < STEPS
    assert not encoder_task(killed).result.exists()
    assert _start("encoder", str(killed), "--resume").wait() == 0
    assert curve.read_text() == (straight / "encoder" / "curve.csv").read_text()
    assert _steps(curve) == STEPS
    one, other = (
        torch.load(encoder_task(out).result, weights_only=True) for out in (straight, killed)
    )
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())


@pytest.mark.slow
def test_a_segmenter_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert _start("segmenter", str(straight)).wait() == 0
    curve = killed / TINY_SEGMENTER.name / "curve.csv"
    assert 6 <= _killed_on_the_way(curve, "segmenter", str(killed)) < STEPS
    assert _start("segmenter", str(killed), "--resume").wait() == 0
    one, other = (
        load_model(out / f"{TINY_SEGMENTER.name}.safetensors", "cpu").network.state_dict()
        for out in (straight, killed)
    )
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())


def _moments(out: Path) -> list[torch.Tensor]:
    """First moments of Adam after two steps: .09 and .1 of their gradients."""
    state = torch.load(out / "state.pt", weights_only=True)
    moments = state["optimizer"]["state"]
    return [moments[number]["exp_avg"] for number in sorted(moments)]


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    """One process takes the two parts of the batch one after the other."""
    made_up_cache(tmp_path / "crops", 2)
    found = []
    for name, processes, accumulate in (("one", 1, 2), ("two", 2, 1)):
        preset = replace(TINY, accumulate=accumulate, encoder_passes=2)
        task = EncoderTask(preset, tmp_path / "crops", out=tmp_path / name, workers=0)
        assert Devices(processes, "cpu", "float32").run(train_encoder, task)
        found.append(_moments(tmp_path / name))
    assert len(found[0]) == len(found[1]) > 50
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-4 * float(one.abs().max()) + 1e-7)
    assert max(float(one.abs().max()) for one in found[0]) > 1e-3
    curves = [(tmp_path / name / "curve.csv").read_text().splitlines() for name in ("one", "two")]
    losses = [[float(line.split(",")[2]) for line in curve[1:]] for curve in curves]
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.slow
def test_an_error_of_a_process_arrives_as_itself(tmp_path: Path) -> None:
    made_up_cache(tmp_path / "crops", 2)
    preset = replace(TINY, encoder_rate=1e30, encoder_passes=3)
    task = EncoderTask(preset, tmp_path / "crops", out=tmp_path / "run", workers=0)
    with pytest.raises(TrainingStopped) as caught:
        Devices(2, "cpu", "float32").run(train_encoder, task)
    assert caught.value.code == "diverged"


@pytest.mark.slow
def test_torchrun_trains_a_row(tmp_path: Path) -> None:
    """Two processes that torchrun starts leave one checkpoint, and it loads."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [*launcher, "-m", "tests.training.tiny_run", "segmenter", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    model = load_model(tmp_path / f"{TINY_SEGMENTER.name}.safetensors", "cpu")
    assert "2 processes" in model.entry.training_data
    assert _steps(tmp_path / TINY_SEGMENTER.name / "curve.csv") == STEPS


@pytest.mark.parametrize("count", [0, -1])
def test_no_devices_are_refused(count: int) -> None:
    with pytest.raises(UsageError) as caught:
        Devices(count, "cpu")
    assert caught.value.code == "bad_devices"


def test_under_torchrun_another_number_of_devices_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
    }.items():
        monkeypatch.setenv(name, value)
    assert Devices(None, "cpu").processes == 4
    with pytest.raises(UsageError) as caught:
        Devices(3, "cpu")
    assert caught.value.code == "bad_devices"


BLOCKED = ("pydicom", "nibabel", "monai")


@pytest.mark.slow
def test_training_on_synthetic_ct_needs_no_reader_of_files() -> None:
    """A cluster's image may hold torch and little else."""
    code = f"""
import sys
for name in {BLOCKED}:
    sys.modules[name] = None
from cspine_zoo.training.train import train
from cspine_zoo.training.segmenter_presets import SEGMENTER
from cspine_zoo.training.segmentation import PatchBatches, SyntheticPatches
from cspine_zoo.training.synthetic_crops import draw_vertebrae
from dataclasses import replace
from cspine_zoo.synthetic.patches import PatchPreset
tiny = replace(SEGMENTER, patches=PatchPreset(shapes=((8, 8, 8),), spacing_mm=8.0))
print(PatchBatches(tiny, SyntheticPatches(tiny))(0, 0, 1)[0].shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "[2, 1, 8, 8, 8]" in done.stdout
