"""The folder of a Space: what its files say of each other, and its steps as a rehearsal."""

import json
import os
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from cspine_zoo.resources import demo_dir
from tests.demo.dockerfile import Rehearsal, instructions

ROOT = Path(__file__).parents[2]
SPACE = demo_dir() / "space"
ASKED_FOR = "CSPINE_ZOO_SPACE_REHEARSAL"


def steps(name: str) -> list[str]:
    return [rest for found, rest in instructions(SPACE / "Dockerfile") if found == name]


def front_matter() -> dict[str, str]:
    _, head, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.splitlines())


def test_the_space_and_its_image_agree() -> None:
    told = front_matter()
    assert told["sdk"] == "docker"
    (command,) = steps("CMD")
    words = json.loads(command)
    assert words[words.index("--port") + 1] == told["app_port"] == steps("EXPOSE")[0]
    assert words[words.index("--host") + 1] == "0.0.0.0"  # outside the container
    assert f"127.0.0.1:{told['app_port']}/_stcore/health" in steps("HEALTHCHECK")[0]
    assert len(told["short_description"]) <= 60  # the hub refuses more


def test_the_image_runs_as_user_1000_with_a_home() -> None:
    names = [name for name, _ in instructions(SPACE / "Dockerfile")]
    assert "--uid 1000 user" in steps("RUN")[0]
    assert names.index("USER") < names.index("COPY")
    assert "HOME=/home/user " in steps("ENV")[0]
    assert all("--chown=user" in copied for copied in steps("COPY"))


def test_uploads_in_a_frame_are_allowed_there_only() -> None:
    assert "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION=false" in steps("ENV")[0]
    config = tomllib.loads((demo_dir() / ".streamlit/config.toml").read_text())
    assert "enableXsrfProtection" not in config["server"]


def test_torch_is_chosen_by_the_build_argument(tmp_path: Path) -> None:
    assert steps("ARG") == ["TORCH=cuda"]
    assert '"$TORCH"' in steps("RUN")[1]
    done = subprocess.run(["sh", str(SPACE / "install.sh"), "tpu"], cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``make space`` writes it."""
    path = tmp_path_factory.mktemp("space")
    script = str(SPACE / "assemble.sh")
    subprocess.run(["sh", script, sys.executable, str(path)], check=True, capture_output=True)
    return path


@pytest.mark.slow
def test_the_folder_is_complete(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    names = {path.name for path in folder.iterdir()} - {wheel.name}
    expected = {"Dockerfile", "README.md", "constraints.txt", "install.sh", ".gitattributes"}
    assert names == expected
    assert (folder / "constraints.txt").read_text() == (ROOT / "constraints.txt").read_text()
    inside = zipfile.ZipFile(wheel).namelist()
    assert "cspine_zoo/demo/app.py" in inside
    assert "cspine_zoo/demo/.streamlit/config.toml" in inside
    for stored in (ROOT / "cspine_zoo/weights").iterdir():
        assert f"cspine_zoo/weights/{stored.name}" in inside


@pytest.mark.slow
@pytest.mark.skipif(ASKED_FOR not in os.environ, reason="make space-rehearsal")
def test_the_steps_of_the_image_serve_the_page(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rehearsal = Rehearsal(folder, tmp_path / "home", port)
    rehearsal.build()
    server = rehearsal.start()
    try:
        end = time.monotonic() + 180
        while not rehearsal.healthy():
            assert server.poll() is None, (rehearsal.directory / "log.txt").read_text()
            assert time.monotonic() < end
            time.sleep(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b'<div id="root">' in page.read()
        upload = urllib.request.Request(
            f"http://127.0.0.1:{port}/_stcore/upload_file/nobody/1", data=b"", method="PUT"
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(upload, timeout=30)
        refused.value.close()
        assert refused.value.code != 403  # of no session, but not for want of a cookie
    finally:
        server.terminate()
        server.wait(30)
    assert "No broken requirements found" in rehearsal.log[-1]
