"""Only the right bytes arrive, from the first source that has them; errors say what to do."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from cspine_zoo.errors import DownloadError, WeightsError
from cspine_zoo.zoo.cache import CACHE_VARIABLE, Shelf, default_cache
from cspine_zoo.zoo.fetch import fetch_weights
from cspine_zoo.zoo.files import BundledSource, DriveSource, UrlSource
from cspine_zoo.zoo.header import file_sha256
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.watch import Arrived, Watch
from tests.zoo.conftest import cached, on_hub, sourced
from tests.zoo.servers import Drive, Hub

Written = tuple[ManifestEntry, Path]
DRIVE_ID = "1AbCdEfGhIjKlMnOp"


def _files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_the_hub_delivers_once(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    hub.files[key] = written[1].read_bytes()
    orphan = shelf.cache / ".incoming" / "dead" / "x" / "part"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half")
    told: list[Arrived] = []
    path = fetch_weights(entry, shelf, Watch(told.append))
    assert path == shelf.address("seg-tiny", entry.files[0])
    size = path.stat().st_size
    assert told[-1] == Arrived("seg-tiny", f"{hub.url}/{key}", size, size)
    assert [arrived.received for arrived in told] == sorted(arrived.received for arrived in told)
    assert file_sha256(path) == entry.files[0].sha256
    assert all("/resolve/" in line for line in hub.log)
    asked = len(hub.log)
    assert fetch_weights(entry, shelf) == path
    assert fetch_weights(entry, replace(shelf, offline=True)) == path
    assert len(hub.log) == asked
    left = {name for name in _files_in(shelf.cache) if not name.endswith(".lock")}
    assert left == {"seg-tiny.safetensors"}


def test_wrong_bytes_from_the_hub_are_refused(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    good = written[1].read_bytes()
    hub.files[key] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(DownloadError, match="wrong content") as caught:
        fetch_weights(entry, shelf)
    assert caught.value.code == "sha256_mismatch"
    text = str(caught.value)
    for words in (entry.files[0].sha256, f"{hub.url}/{key}", str(shelf.cache), "weights="):
        assert words in text
    assert "seg-tiny.safetensors" not in _files_in(shelf.cache)


def test_offline_makes_no_request(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    hub.files[key] = written[1].read_bytes()
    with pytest.raises(DownloadError, match="offline") as caught:
        fetch_weights(entry, replace(shelf, offline=True))
    assert caught.value.code == "offline"
    assert hub.log == []


def test_the_login_of_a_mirror_is_not_told(
    written: Written, shelf: Shelf, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, key = on_hub(written[0])
    login = f"{hub.url}/".replace("://", "://me:sec@ret@")
    monkeypatch.setenv("HF_ENDPOINT", login)
    entry = sourced(entry, *entry.files[0].sources, UrlSource("url", f"{login}a.safetensors"))
    with pytest.raises(DownloadError) as caught:
        fetch_weights(entry, replace(shelf, offline=True))
    for place in (key, "a.safetensors"):
        assert str(caught.value).count(f"{hub.url}/{place}") == 2
    assert "ret@" not in str(caught.value)


@pytest.mark.parametrize("variable", ["CSPINE_ZOO_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_can_ask_for_offline(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, variable: str
) -> None:
    assert not Shelf.open().offline
    monkeypatch.setenv(variable, "1")
    assert Shelf.open().offline
    assert not Shelf.open(offline=False).offline


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CSPINE_ZOO_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("CSPINE_ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "cspine_zoo"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache() == Path.home() / ".cache" / "cspine_zoo"


def test_a_user_without_a_home_has_a_cache(tmp_path: Path, monkeypatch) -> None:
    """As a container's user of a number that no list of users holds."""
    for variable in ("HOME", CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert default_cache() == tmp_path / "cspine_zoo-54321"


def test_a_corrupt_cached_file_is_replaced_or_named(
    written: Written, shelf: Shelf, hub: Hub
) -> None:
    entry, key = on_hub(written[0])
    hub.files[key] = written[1].read_bytes()
    path = shelf.address("seg-tiny", entry.files[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" + written[1].read_bytes()[1:])
    with pytest.raises(DownloadError, match="wrong content"):
        fetch_weights(entry, replace(shelf, offline=True))
    assert fetch_weights(entry, shelf) == path
    assert file_sha256(path) == entry.files[0].sha256


def test_bundled_comes_first_and_a_corrupt_one_gives_way(
    written: Written, shelf: Shelf, hub: Hub
) -> None:
    entry, _ = on_hub(written[0])
    bundled = BundledSource("bundled", "seg-tiny.safetensors")
    entry = sourced(entry, *entry.files[0].sources, bundled)
    shelf.bundled.mkdir()
    copy = shelf.bundled / "seg-tiny.safetensors"
    copy.write_bytes(written[1].read_bytes())
    assert fetch_weights(entry, shelf) == copy
    assert hub.log == []
    assert not shelf.cache.exists()
    copy.write_bytes(b"damaged")
    path = cached(written, shelf)
    assert fetch_weights(entry, shelf) == path


def test_a_file_put_into_the_cache_by_hand_is_found(written: Written, shelf: Shelf) -> None:
    entry, _ = on_hub(written[0])
    shelf.cache.mkdir()
    by_hand = shelf.cache / "seg-tiny.safetensors"
    by_hand.write_bytes(written[1].read_bytes())
    assert fetch_weights(entry, replace(shelf, offline=True)) == by_hand


@pytest.mark.slow
def test_drive_is_the_mirror(written: Written, shelf: Shelf, hub: Hub, drive: Drive) -> None:
    entry, _ = on_hub(written[0])
    mirror = DriveSource("gdrive", DRIVE_ID)
    entry = sourced(entry, mirror, *entry.files[0].sources)
    drive.files[DRIVE_ID] = written[1].read_bytes()
    path = fetch_weights(entry, shelf)
    assert file_sha256(path) == entry.files[0].sha256
    assert len(hub.log) > 0
    assert len(drive.log) == 1


@pytest.mark.slow
def test_a_plain_address_comes_last(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    other = f"mirror/zoo/resolve/{'1' * 40}/seg.bin"
    entry = sourced(entry, UrlSource("url", f"{hub.url}/{other}"), *entry.files[0].sources)
    with pytest.raises(DownloadError) as caught:
        fetch_weights(entry, shelf)
    assert [attempt.split(": ")[0] for attempt in caught.value.attempts] == [
        f"{hub.url}/{key}",
        f"{hub.url}/{other}",
    ]
    hub.files[other] = written[1].read_bytes()
    assert file_sha256(fetch_weights(entry, shelf)) == entry.files[0].sha256


def test_an_unusable_cache_is_named(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, _ = on_hub(written[0])
    shelf.cache.write_text("a file in its place")
    with pytest.raises(DownloadError, match="CSPINE_ZOO_CACHE") as caught:
        fetch_weights(entry, shelf)
    assert caught.value.code == "cache_unusable"


def test_a_row_without_weights_says_how_to_get_some(written: Written, shelf: Shelf) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch_weights(written[0].with_files(), shelf)
    assert caught.value.code == "no_weights"
    for words in ("train", "weights=", "random"):
        assert words in caught.value.hint
