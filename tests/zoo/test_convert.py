"""Other people's checkpoints: read without running them, matched name by name, or refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cspine_zoo.cli.main import main
from cspine_zoo.conversion.convert import convert, prepare
from cspine_zoo.conversion.names import Unknown, translate
from cspine_zoo.conversion.pickled import read_state
from cspine_zoo.conversion.report import match
from cspine_zoo.errors import UsageError, WeightsError
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.manifest import ManifestEntry
from tests.zoo.conftest import segmenter_row, tiny_network


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.path)!r}, 'w').close()",))


def _state(seed: int = 1) -> dict[str, Tensor]:
    return tiny_network(seed).state_dict()


def _saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A row to convert for, as a file that carries it."""
    path = tmp_path / "row" / "seg-tiny.safetensors"
    checkpoint.write(tiny_network(), ManifestEntry.from_dict(segmenter_row()), path)
    return str(path)


def _refusal(call: Callable[[], object]) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("nested", [True, False], ids=["beside weights", "alone"])
def test_a_pickle_that_runs_code_is_refused_by_name_and_not_run(
    tmp_path: Path, zipped: bool, nested: bool
) -> None:
    sign = tmp_path / "it-ran"
    content = {"model_state_dict": _state(), "extra": Bomb(sign)} if nested else Bomb(sign)
    path = _saved(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    error = _refusal(lambda: read_state(path))
    assert error.code == "pickle_runs_code"
    assert "exec" in error.reason
    assert not sign.exists()
    torch.load(path, weights_only=False)
    assert sign.exists()  # the bomb was a real one


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_bare_pickle_of_any_protocol_is_not_run(tmp_path: Path, protocol: int) -> None:
    sign = tmp_path / "it-ran"
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(Bomb(sign), protocol=protocol))
    error = _refusal(lambda: read_state(path))
    assert error.code == "pickle_runs_code"
    assert "exec" in error.reason
    assert not sign.exists()


def test_a_whole_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    error = _refusal(lambda: read_state(_saved(tiny_network(), tmp_path / "a.pth")))
    assert error.code == "whole_module"
    assert "UNet3D" in error.reason
    assert "state_dict()" in error.hint


def _zip_of(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.pth", content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-200],
        lambda content: content[: len(content) // 2],
        lambda content: b"<!DOCTYPE html><html>quota</html>",
        lambda content: np.random.default_rng(0).bytes(5000),
        _zip_of,
    ],
    ids=["empty", "short", "half", "page", "noise", "zipped again"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = _saved(_state(), tmp_path / "a.pth")
    path.write_bytes(damage(path.read_bytes()))
    assert _refusal(lambda: read_state(path)).code == "not_a_checkpoint"


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    assert _refusal(lambda: read_state(tmp_path / "a.pth")).code == "file_not_found"


@pytest.mark.parametrize(
    "content", [[1, 2], {"epoch": 3}, {"state_dict": {"a": 1}}, {}, torch.zeros(3)], ids=str
)
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    path = _saved(content, tmp_path / "a.pth")
    assert _refusal(lambda: read_state(path)).code == "no_state_dict"


@pytest.mark.parametrize(
    ("wrap", "taken_off"),
    [
        (dict, ""),
        (OrderedDict, ""),
        (lambda state: {"model_state_dict": state, "score_best": np.float64(0.4)}, "model_state_"),
        (lambda state: {"epoch": 3, "state_dict": _prefixed(state, "module.")}, "state_dict mod"),
        (lambda state: {"model": {"state_dict": state}, "optimizer": {}}, "model state_dict"),
        (lambda state: _prefixed(state, "module.model."), "module. model."),
        (lambda state: _prefixed(state, "_orig_mod."), "_orig_mod."),
    ],
    ids=["plain", "ordered", "with a score", "parallel", "twice nested", "wrapped", "compiled"],
)
def test_nests_and_prefixes_are_taken_off(
    tmp_path: Path, wrap: Callable[[Any], Any], taken_off: str
) -> None:
    state = _state()
    read = read_state(_saved(wrap(state), tmp_path / "a.pth"))
    assert list(read.tensors) == list(state)
    assert all(torch.equal(read.tensors[name], state[name]) for name in state)
    assert " ".join(read.wrapping).startswith(taken_off)


def _prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def test_scores_that_an_older_numpy_stored_are_read(tmp_path: Path) -> None:
    """numpy 2 moved the function that its scalars name; files of 2024 name the old place."""
    path = _saved({"state_dict": _state(), "loss": np.float64(0.4)}, tmp_path / "new.pth")
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, "w") as target:
        for member in source.infolist():
            content = source.read(member).replace(b"numpy._core", b"numpy.core")
            target.writestr(member.filename, content)
    assert list(read_state(old).tensors) == list(_state())


def test_names_are_translated_by_the_first_pair_that_fits() -> None:
    table = [
        ("encoder._blocks.3.*.weight", "blocks.1.*.weight"),
        ("encoder.head.**", None),
        ("encoder.**", "backbone.**"),
    ]
    assert translate("encoder._blocks.3.conv.weight", table) == "blocks.1.conv.weight"
    assert translate("encoder._blocks.3.conv.1.weight", table) == "backbone._blocks.3.conv.1.weight"
    assert translate("encoder.head.fc.bias", table) is None
    with pytest.raises(Unknown):
        translate("encoderx", table)


def _two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_every_tensor_is_accounted_for() -> None:
    theirs = {f"net.{name}": tensor for name, tensor in _two_layers().state_dict().items()}
    theirs["net.0.bias"] = torch.zeros(4)
    theirs["net.1.weight"] = torch.full((3,), torch.nan)
    theirs["net.9.weight"] = torch.zeros(1)
    del theirs["net.1.bias"], theirs["net.1.num_batches_tracked"]
    theirs["old.running_mean"] = torch.zeros(3)
    table = [("net.**", "**"), ("old.running_mean", None)]
    report = match(theirs, _two_layers(), table, ["net.9.*", "1.num_batches_tracked", "1.bias"])
    assert [one.theirs for one in report.mapped] == [
        "net.0.weight",
        "net.1.running_mean",
        "net.1.running_var",
    ]
    assert [(one.ours, one.reason) for one in report.misfits] == [
        ("0.bias", "shape (4,) instead of (3,)"),
        ("1.weight", "holds NaN or infinity"),
    ]
    assert report.missing == ("1.bias",)  # a parameter is never left, whatever is asked
    assert report.ignored == ("net.9.weight", "old.running_mean", "1.num_batches_tracked")
    assert not report.complete
    assert json.loads(json.dumps(report.to_dict()))["missing"] == ["1.bias"]
    named = "\n".join(report.lines())
    assert all(name in named for name in (*theirs, "1.bias", "1.num_batches_tracked"))


def test_two_tensors_for_one_place_and_strange_kinds_do_not_pass() -> None:
    state = _two_layers().state_dict()
    state |= {"again.weight": state["0.weight"].clone(), "0.bias": torch.zeros(3, dtype=torch.int)}
    state["1.bias"] = torch.zeros(3).to_sparse()
    report = match(state, _two_layers(), [("again.*", "0.*")])
    assert report.unexpected == ("again.weight",)
    assert [one.reason for one in report.misfits] == [
        "int32 instead of float32",
        "not a plain tensor",
    ]


def test_a_converted_file_is_a_model_with_its_row(tmp_path: Path, model: str) -> None:
    path = _saved({"model_state_dict": _prefixed(_state(), "module.")}, tmp_path / "theirs.pth")
    out = tmp_path / "ours.safetensors"
    row = convert(path, model, out)
    loaded = load_model(out, device="cpu")
    batch = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded(batch), tiny_network(1).eval()(batch))
    assert loaded.entry.with_files() == row.with_files()
    assert "theirs.pth" in row.training_data
    assert file_sha256(path) in row.training_data
    assert "retrained" in row.limitations[0]
    assert str(tmp_path) not in json.dumps(row.to_dict())


@pytest.mark.parametrize(
    ("change", "ignore", "code"),
    [
        (lambda state: state.pop("head.bias"), (), "state_dict_mismatch"),
        (lambda state: state.pop("head.bias"), ("head.bias",), "state_dict_mismatch"),
        (lambda state: state.update(extra=torch.zeros(1)), (), "state_dict_mismatch"),
        (lambda state: state["head.bias"].fill_(torch.inf), (), "state_dict_mismatch"),
        (lambda state: state.update(extra=torch.zeros(1)), ("extra",), None),
        (lambda state: None, (), None),
    ],
    ids=["missing", "missing, ignored", "unexpected", "infinite", "ignored", "whole"],
)
def test_nothing_is_written_unless_all_of_it_fits(
    tmp_path: Path, model: str, change: Callable[[Any], Any], ignore: Any, code: str | None
) -> None:
    state = _state()
    change(state)
    path, out = _saved(state, tmp_path / "a.pth"), tmp_path / "out" / "a.safetensors"
    if code is None:
        assert convert(path, model, out, ignore).files[0].sha256 == file_sha256(out)
    else:
        assert _refusal(lambda: convert(path, model, out, ignore)).code == code
        assert not out.parent.exists()


def test_the_mistake_of_the_source_is_told(tmp_path: Path, model: str) -> None:
    path = _saved({"lstm.weight_ih_l0": torch.zeros(1024, 1)}, tmp_path / "a.pth")
    error = _refusal(lambda: prepare(path, model).write(tmp_path / "a.safetensors"))
    assert "one number a slice" in error.hint


def test_another_suffix_is_refused_before_anything_is_read(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert(tmp_path / "absent.pth", model, tmp_path / "a.pth")
    assert caught.value.code == "bad_out"


def test_the_command_reports_every_key_and_answers_with_the_row(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _saved(_prefixed(_state(), "module."), tmp_path / "a.pth")
    words = ["convert", str(path), "--model", model, "--report", str(tmp_path / "report.json")]
    assert main([*words, "--out", str(tmp_path / "a.safetensors"), "--json"]) == 0
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert answer["sha256"] == file_sha256(tmp_path / "a.safetensors")
    assert all(f"{name} -> {name}" in shown.err for name in _state())
    assert json.loads((tmp_path / "report.json").read_text()) == answer["report"]


def test_the_command_refuses_with_the_report_and_exit_code_4(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _saved({"a": torch.zeros(1)}, tmp_path / "a.pth")
    words = ["convert", str(path), "--model", model, "--out", str(tmp_path / "a.safetensors")]
    assert main([*words, "--report", str(tmp_path / "report.json"), "--json"]) == 4
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["code"] == "state_dict_mismatch"
    assert "unexpected: 1\n  a\n" in shown.err
    assert json.loads((tmp_path / "report.json").read_text())["unexpected"] == ["a"]
    assert not (tmp_path / "a.safetensors").exists()
