"""Weights come back as they went in, and nothing that is wrong with a file passes."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cspine_zoo.errors import WeightsError
from cspine_zoo.models.registry import build
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.header import file_sha256, read_header
from cspine_zoo.zoo.locate import entry_in_file, find_entry
from cspine_zoo.zoo.manifest import ManifestEntry
from tests.zoo.conftest import segmenter_row, tiny_network

Written = tuple[ManifestEntry, Path]


def test_a_network_comes_back_through_half_precision(written: Written) -> None:
    entry, path = written
    network = tiny_network(seed=1)
    checkpoint.load_into(network, path)
    for name, tensor in tiny_network().state_dict().items():
        loaded = network.state_dict()[name]
        assert loaded.dtype == tensor.dtype
        expected = tensor.half().float() if tensor.ndim > 1 else tensor
        assert torch.equal(loaded, expected)
    assert entry.files[0].sha256 == file_sha256(path)
    assert entry.files[0].size_bytes == path.stat().st_size


def test_writing_is_repeatable_and_rewriting_changes_nothing(
    written: Written, tmp_path: Path
) -> None:
    entry, path = written
    network = tiny_network(seed=1)
    checkpoint.load_into(network, path)
    again = checkpoint.write(network, entry, tmp_path / "again.safetensors")
    assert again.files[0].sha256 == entry.files[0].sha256
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_float32_is_kept_exactly_and_large_numbers_do_not_overflow(tmp_path: Path) -> None:
    network = tiny_network()
    with torch.no_grad():
        network.get_parameter("head.weight").fill_(1e6)
    for half in (True, False):
        path = tmp_path / f"{half}.safetensors"
        checkpoint.write(network, ManifestEntry.from_dict(segmenter_row()), path, half=half)
        other = tiny_network(seed=1)
        checkpoint.load_into(other, path)
        assert float(other.get_parameter("head.weight").detach().min()) == 1e6
    assert all(torch.equal(a, b) for a, b in zip(network.buffers(), other.buffers(), strict=True))
    assert {tensor.dtype for tensor in load_file(path).values() if tensor.ndim > 1} == {
        torch.float32
    }


def test_the_file_carries_its_row(written: Written) -> None:
    entry, path = written
    assert entry_in_file(path) == entry.with_files()
    assert find_entry(str(path)) == find_entry(path) == entry.with_files()
    assert entry.parameters == sum(p.numel() for p in tiny_network().parameters())


def test_a_network_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    network = tiny_network()
    with torch.no_grad():
        network.get_parameter("head.bias")[0] = torch.nan
    with pytest.raises(WeightsError, match=r"head\.bias") as caught:
        checkpoint.write(network, ManifestEntry.from_dict(segmenter_row()), tmp_path / "a")
    assert caught.value.code == "not_finite"


def _duplicate_key(content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    name, value = next(
        (name, value) for name, value in json.loads(header).items() if name != "__metadata__"
    )
    header = header[:-1] + f',"{name}":{json.dumps(value)}}}'.encode()
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _zipped(content: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda content: b"", "not_safetensors", "empty"),
        (lambda content: content[:5], "not_safetensors", "something else"),
        (lambda content: content[:100], "truncated", "cut short"),
        (lambda content: content[:-1], "truncated", "cut short"),
        (lambda content: content + b"\0", "broken_header", "no tensor"),
        (lambda content: b"\n<!DOCTYPE html><html>", "not_safetensors", "HTML"),
        (lambda content: b'{"error": "denied"}', "not_safetensors", "JSON"),
        (lambda content: b"version https://git-lfs.github.com/spec/v1\n", "not_safetensors", "LFS"),
        (lambda content: pickle.dumps({"a": 1}), "not_safetensors", "pickle"),
        (_zipped, "not_safetensors", "zip"),
        (lambda content: b"\x1f\x8b" + content, "not_safetensors", "gzip"),
        (_duplicate_key, "broken_header", "twice"),
        (lambda content: content[:9] + b"!" + content[10:], "broken_header", "JSON"),
    ],
)
def test_a_damaged_file_is_named_for_what_it_is(
    written: Written, damage: Callable[[bytes], bytes], code: str, words: str
) -> None:
    _, path = written
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=words) as caught:
        checkpoint.load_into(tiny_network(), path)
    assert caught.value.code == code
    with pytest.raises(WeightsError):
        find_entry(path)


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    """80 02 00 ... is the length 640 and the start of a pickle alike."""
    path = tmp_path / "a.safetensors"
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(640)
    path.write_bytes((640).to_bytes(8, "little") + header + b"\0\0\0\0")
    assert read_header(path).tensors == ("a",)


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    state = tiny_network().state_dict()
    state["extra"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(2, 2)
    del state["head.bias"]
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        checkpoint.load_into(tiny_network(), path)
    assert caught.value.code == "state_dict_mismatch"
    for words in ("missing head.bias", "unexpected extra", "head.weight (2, 2) instead of"):
        assert words in caught.value.reason


def test_weights_of_another_model_say_whose_they_are(written: Written) -> None:
    arguments = {"in_channels": 1, "out_channels": 10, "widths": [4, 12]}
    with pytest.raises(WeightsError, match="of 'seg-tiny'") as caught:
        checkpoint.load_into(build("unet3d", arguments), written[1])
    assert caught.value.code == "state_dict_mismatch"


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = tiny_network().state_dict()
    state["head.bias"][3] = torch.inf
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"head\.bias") as caught:
        checkpoint.load_into(tiny_network(), path)
    assert caught.value.code == "not_finite"


def test_random_bytes_never_crash(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    path = tmp_path / "noise.safetensors"
    for _ in range(50):
        body = noise.integers(0, 256, int(noise.integers(0, 200)), np.uint8).tobytes()
        path.write_bytes((len(body)).to_bytes(8, "little") + b"{" + body)
        with pytest.raises(WeightsError):
            read_header(path)


def test_a_file_without_a_row_and_an_absent_one(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tiny_network().state_dict(), path)
    with pytest.raises(WeightsError, match="weights=") as caught:
        find_entry(path)
    assert caught.value.code == "no_entry"
    with pytest.raises(WeightsError) as caught:
        find_entry(str(tmp_path / "absent.safetensors"))
    assert caught.value.code == "file_not_found"
