"""Caches that are shared, read-only, full or in somebody's hands; and waiting that has an end."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from cspine_zoo.errors import DownloadError, UsageError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.causes import cause_in, cause_of, scrubbed
from cspine_zoo.zoo.fetch import fetch_weights
from cspine_zoo.zoo.files import UrlSource
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.staging import INCOMING, LOCKS, staged
from cspine_zoo.zoo.watch import Arrived, Patience, Watch
from tests.zoo.conftest import cached, on_hub, sourced
from tests.zoo.servers import Drive, Hub, Trouble

Written = tuple[ManifestEntry, Path]
ROOT = Path(__file__).parents[2]
NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def test_a_shared_cache_is_read_and_never_written(
    written: Written, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, _ = on_hub(written[0])
    path = cached(written, shelf)
    monkeypatch.setenv("CSPINE_ZOO_SHARED_CACHE", f"{tmp_path / 'none'}{os.pathsep}{shelf.cache}")
    asked = Shelf.open(tmp_path / "own", offline=True)
    assert asked.shared == (tmp_path / "none", shelf.cache)
    assert fetch_weights(entry, asked) == path
    assert not (tmp_path / "own").exists()
    assert not (shelf.cache / LOCKS).exists()
    path.write_bytes(b"damaged")
    with pytest.raises(DownloadError, match="wrong content"):
        fetch_weights(entry, asked)


def test_a_cache_without_room_is_named_before_anything_is_asked(
    written: Written, shelf: Shelf, hub: Hub
) -> None:
    entry, _ = on_hub(written[0])
    huge = entry.with_files(replace(entry.files[0], size_bytes=10**17))
    with pytest.raises(DownloadError, match="CSPINE_ZOO_CACHE") as caught:
        fetch_weights(huge, shelf)
    assert caught.value.code == "cache_full"
    assert hub.log == []
    assert list((shelf.cache / INCOMING).glob("*")) == []


def _in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """A shell that may mount file systems, seen by nobody else."""
    return subprocess.run(
        [*NAMESPACE, "sh", "-ec", script], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mount", "code"),
    [("mount -o remount,bind,ro CACHE", "cache_unusable"), ("true", "cache_full")],
)
def test_file_systems_that_are_read_only_or_full(
    tmp_path: Path, hub: Hub, mount: str, code: str
) -> None:
    if shutil.which("unshare") is None or _in_namespace("true").returncode != 0:
        pytest.skip("this system lets nobody mount")
    hub.files["a"] = bytes(3_000_000)
    row = (
        "from cspine_zoo.zoo.cache import Shelf; from cspine_zoo.zoo.files import *;"
        "from pathlib import Path; from cspine_zoo.zoo.fetch import fetch_file;"
        "from cspine_zoo.zoo.manifest import read_manifest;"
        f"file = WeightFile('a', '0' * 64, 3, (UrlSource('url', '{hub.url}/a'),));"
        f"shelf = Shelf(Path('{tmp_path}/c'), Path('{tmp_path}/b'), False);"
        "fetch_file(read_manifest().rows[0], file, shelf)"
    )
    mount = mount.replace("CACHE", str(tmp_path / "c"))
    done = _in_namespace(
        f"mkdir {tmp_path}/c; mount -t tmpfs -o size=1m none {tmp_path}/c; {mount};"
        f'{sys.executable} -c "{row}"'
    )
    assert f"[{code}]" in done.stderr, done.stderr


@pytest.mark.parametrize(("patience", "code"), [(1e-9, "deadline"), (60, "cancelled")])
def test_the_end_of_waiting_is_named(
    written: Written, shelf: Shelf, hub: Hub, patience: float, code: str
) -> None:
    entry, _ = on_hub(written[0])
    cancel = Event()
    cancel.set()
    watch = Watch(cancel=cancel if code == "cancelled" else None, patience=Patience(1, patience))
    with pytest.raises(DownloadError) as caught:
        fetch_weights(entry, shelf, watch)
    assert caught.value.code == code
    assert entry.files[0].sha256 in str(caught.value)
    assert hub.log == []


def test_waiting_for_another_process_has_an_end(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, _ = on_hub(written[0])
    with staged(shelf, entry.files[0], Watch().start()) as directory:
        with pytest.raises(DownloadError) as caught:
            fetch_weights(entry, shelf, Watch(patience=Patience(1, 0.2)))
        assert directory.is_dir()
    assert caught.value.code == "deadline"
    assert not directory.exists()


class _Enough(Exception):
    pass


@pytest.mark.slow
def test_a_page_stops_a_transfer_by_raising(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    hub.files[key] = written[1].read_bytes()
    hub.trouble[key] = Trouble(stop=0, hang=True)

    def stop(arrived: Arrived) -> None:
        if hub.trouble[key].struck.is_set():
            raise _Enough

    with pytest.raises(_Enough):
        fetch_weights(entry, shelf, Watch(stop))
    assert list((shelf.cache / INCOMING).glob("*")) == []


@pytest.mark.slow
def test_no_token_follows_to_another_origin(written: Written, shelf: Shelf, hub: Hub) -> None:
    entry, key = on_hub(written[0])
    hub.files[key] = written[1].read_bytes()
    hub.elsewhere = True
    os.environ["HF_TOKEN"] = "hf_secret"
    try:
        assert fetch_weights(entry, shelf).read_bytes() == written[1].read_bytes()
    finally:
        del os.environ["HF_TOKEN"]
    told = {line.split()[0].split("/")[0]: line.split()[1:] for line in hub.tokens}
    assert told == {"owner": ["Bearer", "hf_secret"], "cdn": []}


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "nothing"])
def test_any_variable_names_the_authority_for_all_libraries(
    written: Written, shelf: Shelf, drive: Drive, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    drive.files["1AbCdEfGhIjKl"] = written[1].read_bytes()
    entry = sourced(written[0], UrlSource("url", "https://drive.google.com/uc?id=1AbCdEfGhIjKl"))
    bundle = os.environ["REQUESTS_CA_BUNDLE"]
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv(variable, bundle)
    if variable == "nothing":
        with pytest.raises(DownloadError, match="SSL_CERT_FILE"):
            fetch_weights(entry, shelf)
    else:
        assert fetch_weights(entry, shelf).read_bytes() == written[1].read_bytes()


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_a_patience_that_is_no_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CSPINE_ZOO_TIMEOUT", text)
    with pytest.raises(UsageError, match="CSPINE_ZOO_TIMEOUT"):
        Patience.asked()


def test_causes_are_found_however_deep_they_lie() -> None:
    def wrapped(cause: BaseException) -> BaseException:
        try:
            try:
                raise cause
            except type(cause) as inner:
                raise RuntimeError("the library's own words") from inner
        except RuntimeError as error:
            return error

    for cause, code in (
        (ConnectionRefusedError(111, "no"), "unreachable"),
        (ConnectionResetError(104, "no"), "cut"),
        (socket.gaierror(-2, "no"), "unreachable"),
        (ssl.SSLCertVerificationError(1, "no"), "certificate"),
        (OSError(28, "No space left on device"), "disk_full"),
        (TimeoutError(), "stalled"),
        (ValueError("hf_abcdefgh"), "transfer_failed"),
    ):
        found = cause_of(wrapped(cause))
        assert found.code == code
        assert "hf_abc" not in found.reason
    assert cause_in("HTTP Error 503 thrown while requesting HEAD http://x") is not None
    assert cause_in("Retrying in 1s [Retry 1/5].") is None


def test_secrets_are_scrubbed() -> None:
    text = scrubbed("Bearer abc https://u:p@proxy:3128/x?sig=1&y=2 hf_Secret123")
    assert text == "Bearer *** https://***@proxy:3128/x?*** hf_***"
