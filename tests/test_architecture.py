"""The plan of the house, held by a test: CONTRIBUTING.md says why each layer is where it is."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cspine_zoo"
DEMO = ROOT / "demo"

# From the top down. A module imports rooms on lower lines, or its own room; rooms that share a
# line do not know each other.
LAYERS = (
    ("cli",),
    ("training",),
    ("evaluation",),
    ("inference", "export", "conversion"),
    ("zoo",),
    ("preprocess", "models", "synthetic"),
    ("results", "rsna"),
    ("ct",),
    ("samples",),
    ("resources", "fields"),
    ("anatomy", "errors"),
)
HEIGHT = {room: -level for level, rooms in enumerate(LAYERS) for room in rooms}

# results.to_csv offers the table of the export layer, imported inside the method.
ALLOWED_UPWARDS = {("cspine_zoo/results.py", "export")}

# What turns rows into networks; every other reader of studies and rows does without torch.
WITH_TORCH = {"bundle", "checkpoint", "device", "golden", "load", "model"}

MAXIMUM_LINES = 400


@dataclass(frozen=True)
class Import:
    module: str
    name: str
    line: int


def _sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def _identifier(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(path: Path) -> Iterator[Import]:
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)


def _room(module: str, name: str) -> str | None:
    """The room that an import reaches; None outside the package or for the package itself."""
    parts = module.split(".")
    if parts[0] != "cspine_zoo":
        return None
    if len(parts) > 1:
        return parts[1]
    return None if name == "__version__" else name


MODULES = [path for path in _sources(PACKAGE) if path.parent != PACKAGE or path.stem[0] != "_"]


@pytest.mark.parametrize("path", MODULES, ids=_identifier)
def test_imports_point_down(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    own = parts[0].removesuffix(".py")
    assert own in HEIGHT, f"{own} has no place in the plan: add it to LAYERS and CONTRIBUTING.md"
    for found in _imports(path):
        room = _room(found.module, found.name)
        if room is None or room == own or (_identifier(path), room) in ALLOWED_UPWARDS:
            continue
        assert room in HEIGHT, f"{_identifier(path)}:{found.line} imports {room} by the top name"
        assert HEIGHT[room] < HEIGHT[own], f"{_identifier(path)}:{found.line}: {own} imports {room}"


@pytest.mark.parametrize("path", _sources(DEMO), ids=_identifier)
def test_the_page_uses_the_public_interface_only(path: Path) -> None:
    import cspine_zoo

    for found in _imports(path):
        if found.module.split(".")[0] != "cspine_zoo":
            continue
        place = f"{_identifier(path)}:{found.line}"
        assert found.module == "cspine_zoo", f"{place} reaches into {found.module}"
        assert not found.name or found.name in cspine_zoo.__all__, f"{place}: {found.name}"


WITHOUT_TORCH = [
    path
    for path in _sources(PACKAGE / "ct", PACKAGE / "zoo")
    if path.parent.name != "zoo" or path.stem not in WITH_TORCH
]


@pytest.mark.parametrize("path", WITHOUT_TORCH, ids=_identifier)
def test_readers_and_manifest_need_no_torch(path: Path) -> None:
    names = {found.module.split(".")[0] for found in _imports(path)}
    assert "torch" not in names


@pytest.mark.parametrize("path", _sources(PACKAGE), ids=_identifier)
def test_library_code_neither_prints_nor_asserts_nor_hides_errors(path: Path) -> None:
    may_print = path.is_relative_to(PACKAGE / "cli") or path.name == "__main__.py"
    for node in ast.walk(_parse(path)):
        place = f"{_identifier(path)}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), f"{place}: asserts vanish under python -O"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{place}: a bare except also catches Ctrl-C"
            assert not _only_passes(node), f"{place}: an error is swallowed"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not may_print:
            assert node.func.id != "print", f"{place}: library code logs, it does not print"


def _only_passes(handler: ast.ExceptHandler) -> bool:
    broad = isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    return broad and all(isinstance(statement, ast.Pass) for statement in handler.body)


@pytest.mark.parametrize("path", _sources(PACKAGE, DEMO), ids=_identifier)
def test_files_stay_readable_at_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAXIMUM_LINES


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=_identifier)
def test_package_files_stay_empty(path: Path) -> None:
    """Import cycles of other model zoos all run through one of these."""
    assert path.read_text(encoding="utf-8").strip() == ""


def test_no_file_is_a_drawer_for_anything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "base", "misc", "common"}
    assert not [path for path in _sources(PACKAGE, DEMO) if path.stem in drawers]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, cspine_zoo; "
        "print(sorted({'torch', 'numpy', 'pydicom', 'streamlit'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("code", ["cz.list_models()", "cz.read_ct", "cz.sample_studies()"])
def test_looking_around_needs_no_torch(code: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, cspine_zoo as cz; {code}; print('torch' in sys.modules)",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_every_public_name_can_be_had() -> None:
    import cspine_zoo

    for name in cspine_zoo.__all__:
        assert getattr(cspine_zoo, name) is not None
    assert set(cspine_zoo.__all__) <= set(dir(cspine_zoo))
    with pytest.raises(AttributeError, match="no_such_name"):
        cspine_zoo.no_such_name  # noqa: B018


# Decoders that pydicom finds by itself; timm's torchvision; gdcm, whose wheel names no module.
LOADED_BY_OTHERS = {"pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm", "torchvision"}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {_distribution(line) for line in project["dependencies"]}
    extra = {_distribution(line) for line in project["optional-dependencies"]["train"]}
    homes = packages_distributions()
    used: dict[str, set[str]] = {"training": set(), "everything": set()}
    for path in _sources(PACKAGE, DEMO):
        room = "training" if path.is_relative_to(PACKAGE / "training") else "everything"
        for found in _imports(path):
            top = found.module.split(".")[0]
            if top in homes and top != "cspine_zoo":
                # Packages beside ours may bring a copy of the same module.
                candidates = {_distribution(home) for home in homes[top]}
                used[room].add(min(candidates & (required | extra) or candidates))
    assert used["everything"] <= required
    assert used["training"] <= required | extra
    assert required - used["everything"] - used["training"] <= LOADED_BY_OTHERS


def _distribution(requirement: str) -> str:
    name = re.split(r"[<>=!~\[; ]", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
