"""Commands that need weights fetch them first, and say on stderr how far they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cspine_zoo.cli.main import main
from cspine_zoo.zoo.files import HuggingFaceSource
from cspine_zoo.zoo.manifest import Manifest, ManifestEntry, write_manifest
from cspine_zoo.zoo.staging import INCOMING
from tests.zoo.conftest import COMMIT, COMMITTED, classifier_row
from tests.zoo.servers import Hub, Trouble

SEGMENTER, CLASSIFIER = (COMMITTED + f"{name}.safetensors" for name in ("seg-tiny", "cls-tiny"))
HEADINGS = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7"


@pytest.fixture
def manifest(
    written: tuple[ManifestEntry, Path], hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A classifier and its segmenter on the hub; none of them is here."""
    rows = []
    for row in (written[0], ManifestEntry.from_dict(classifier_row())):
        name = f"{row.name}.safetensors"
        source = HuggingFaceSource("huggingface", "owner/zoo", COMMIT, name)
        file = replace(written[0].files[0], filename=name, sources=(source,))
        rows.append(row.with_files(file))
    path = tmp_path / "manifest.json"
    write_manifest(Manifest(tuple(rows)), path)
    hub.files[SEGMENTER] = hub.files[CLASSIFIER] = written[1].read_bytes()
    monkeypatch.setattr("cspine_zoo.zoo.manifest.manifest_path", lambda: path)
    monkeypatch.setenv("CSPINE_ZOO_CACHE", str(tmp_path / "cache"))
    return path


@contextmanager
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A terminal as stderr, and what it is told."""
    ours, theirs = os.openpty()
    told: list[bytes] = []

    def listen() -> None:
        with os.fdopen(ours, "rb", buffering=0) as screen:
            try:
                while told.append(screen.read(4096)) or told[-1]:
                    pass
            except OSError:  # the other end was closed
                return

    listener = threading.Thread(target=listen)
    listener.start()
    with os.fdopen(theirs, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        yield told
    listener.join()


def test_predict_fetches_with_a_bar_before_it_reads_the_study(
    manifest: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(manifest.with_name("none.zip")), "--model", "cls-tiny"]
    with _terminal(monkeypatch) as told:
        assert main(words) == 3  # weights came first, and then there was no study
    screen = b"".join(told).decode()
    for name in ("cls-tiny", "seg-tiny"):
        assert f"[####################] 100% {name}: " in screen
        assert f"[....................]   0% {name}: " in screen
    bars = [line for line in screen.split("\r\x1b[K") if line.startswith("[")]
    assert max(map(len, bars)) == 79  # the rest is cut: a wrapped line could not be overwritten
    assert capsys.readouterr().out == ""
    assert [line.split()[0] for line in hub.log].count("GET") == 2

    asked = len(hub.log)
    assert main([*words, "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["file"]
    assert "MB from" not in err
    assert len(hub.log) == asked


def test_what_is_not_here_is_refused_offline_at_once(
    manifest: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["predict", "none.zip", "--model", "cls-tiny", "--json"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "offline"
    assert "MB from" not in err
    assert hub.log == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["predict", "none.zip", "--segment-only", "--segmenter", "seg-tiny"],
        ["predict", "none.zip", "--model", "cls-tiny", "--localizer", "seg-tiny"],
        ["predict", "--data", "DIR", "--submission", "FILE.csv", "--model", "cls-tiny"],
        ["evaluate", "--data", "DIR", "--model", "cls-tiny", "--out", "OUT"],
        ["calibrate", "cls-tiny", "--data", "DIR", "--out", "OUT"],
        ["train", "cls-cnn-lite0", "--start", "seg-tiny", "--out", "OUT"],
        ["train", "cls-cnn-lite0", "--data", "DIR", "--segmenter", "seg-tiny", "--out", "OUT"],
        ["bundle", "seg-tiny"],
        ["download", "seg-tiny"],
    ],
    ids=" ".join,
)
def test_every_command_that_needs_weights_fetches_them_so(
    words: list[str],
    manifest: Path,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del hub.files[SEGMENTER]
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text(f"{HEADINGS}\n1.2.3,0,0,0,0,0,0,0,0\n")
    known = {"DIR": data, "OUT": tmp_path / "out", "FILE.csv": tmp_path / "file.csv"}
    assert main([str(known.get(word, word)) for word in words]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert f"seg-tiny: 0.0 MB from {hub.url}/" in err
    assert "there is no such file (404)" in err
    assert {path.name for path in tmp_path.iterdir()} & {"out", "file.csv"} == set()


@pytest.mark.slow
def test_control_c_ends_a_transfer_and_leaves_nothing(
    manifest: Path, hub: Hub, tmp_path: Path
) -> None:
    hub.trouble[CLASSIFIER] = Trouble(stop=1000, hang=True)
    program = (
        # What runs these tests in the background may have had this signal ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import pathlib, sys; import cspine_zoo.zoo.manifest as manifest;"
        f"manifest.manifest_path = lambda: pathlib.Path({str(manifest)!r});"
        "from cspine_zoo.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["predict", "none.zip", "--model", "cls-tiny", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert hub.trouble[CLASSIFIER].struck.wait(60)
    os.killpg(process.pid, signal.SIGINT)  # to the whole group, as a terminal does
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "cspine-zoo: interrupted"
    assert "Traceback" not in err
    assert list((tmp_path / "cache" / INCOMING).glob("*")) == []
