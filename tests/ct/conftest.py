"""One small study, written once."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.intake import Source, describe, take_in
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import StudyRejected
from tests.ct.dicom_writer import Study, acquire, phantom

Phantom = tuple[NDArray[np.int16], NDArray[np.float64]]
Read = Callable[..., CTVolume]


@pytest.fixture(scope="session")
def body() -> Phantom:
    return phantom()


@pytest.fixture(scope="session")
def folder(body: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom as axial DICOM, explicit little endian; not to be changed."""
    path = tmp_path_factory.mktemp("study")
    Study().write_all(acquire(*body), path)
    return path


@pytest.fixture(scope="session")
def read_here() -> Read:
    """``read_ct`` without its process: what a property asks a hundred times."""

    def read(source: Source, series: str | int | None = None) -> CTVolume:
        return assemble(take_in(source), series, describe(source))

    return read


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[Path], Path]:
    def zipped(folder: Path) -> Path:
        target = tmp_path / f"{folder.name}.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        return target

    return zipped


@pytest.fixture
def refusal() -> Callable[[Callable[[], object]], StudyRejected]:
    def caught(action: Callable[[], object]) -> StudyRejected:
        with pytest.raises(StudyRejected) as info:
            action()
        assert info.value.reason
        assert "Canary" not in str(info.value)
        return info.value

    return caught
