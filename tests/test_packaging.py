"""The wheel, alone in an empty environment, does what the checkout does."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)],
        cwd=ROOT,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and its own requirements only."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    constraints = ROOT / "constraints.txt"
    _run([str(programs / "python"), "-m", "pip", "install", "-c", str(constraints), str(wheel)])
    return programs


def _run(words: list[str], cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_wheel_carries_all_that_a_prediction_and_the_page_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"weights_manifest.json", "demo/app.py", "py.typed", "__init__.py"}
    wanted |= {f"weights/{path.name}" for path in (ROOT / "cspine_zoo/weights").iterdir()}
    assert {f"cspine_zoo/{name}" for name in wanted} <= names
    assert any(name.startswith("cspine_zoo/samples/") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_a_wheel_in_an_empty_environment_predicts(installed: Path, tmp_path: Path) -> None:
    program = str(installed / "cspine-zoo")
    show = "import cspine_zoo as c; print(c.__file__)"
    where = _run([str(installed / "python"), "-c", show], cwd=tmp_path)
    assert str(installed.parent) in where
    sample = _run(
        [
            str(installed / "python"),
            "-c",
            "import cspine_zoo; print(cspine_zoo.sample_studies()[0].path)",
        ],
        cwd=tmp_path,
    ).strip()
    models = [row for row in json.loads(_run([program, "models", "cls-*", "--json"], cwd=tmp_path))]
    bundled = next(row["name"] for row in models if row["available"] == "bundled")
    answer = _run([program, "predict", sample, "--model", bundled, "--json"], cwd=tmp_path)
    prediction = json.loads(answer)["predictions"][0]
    assert prediction["model"] == bundled
    assert len(prediction["vertebrae"]) == 7
    assert 0 <= prediction["patient_overall"] <= 1
