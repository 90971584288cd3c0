import resource
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

import cspine_zoo as cz
from uploads import Spool


@dataclass
class File:
    name: str
    data: bytes = b"x"

    def getbuffer(self) -> memoryview:
        return memoryview(self.data)


def test_one_file_keeps_its_ending_and_its_bytes() -> None:
    spool = Spool([File("Doe^Jane neck.nii.gz", b"abc")])
    assert spool.source.name.endswith(".nii.gz")
    assert spool.source.read_bytes() == b"abc"
    assert spool.title == "Doe^Jane neck.nii.gz"


def test_several_files_become_a_folder() -> None:
    spool = Spool([File("a/IM1.dcm"), File("b/IM1.dcm"), File("a/IM1.dcm")])
    assert spool.source == spool.root
    assert len(list(spool.root.iterdir())) == 3
    assert spool.title == "3 files"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "C:\\boot.ini", "a\x00b", "x" * 400, "", ".", "..", "~"],
)
def test_no_name_leaves_the_folder(name: str) -> None:
    spool = Spool([File(name)])
    inside = list(spool.root.rglob("*"))
    assert len(inside) == 1
    assert inside[0].parent == spool.root
    assert inside[0].is_file()


def test_reports_give_the_uploader_his_own_names_back() -> None:
    spool = Spool([File("scan/IM 1.dcm"), File("scan/IM 2.dcm")])
    stored = sorted(spool.root.iterdir())
    assert spool.original(str(stored[1])) == "scan/IM 2.dcm"
    assert spool.original(stored[0].name) == "scan/IM 1.dcm"
    assert spool.original(str(spool.root)) == "2 files"
    assert str(spool.root) not in spool.original(f"{spool.root}/inner/x")


def test_the_folder_is_private_and_goes() -> None:
    spool = Spool([File("a.zip")])
    root: Path = spool.root
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    spool.delete()
    assert not root.exists()


def test_the_folder_goes_with_the_session() -> None:
    spool = Spool([File("a.zip")])
    root = spool.root
    del spool
    assert not root.exists()


def test_a_disk_that_is_too_small_is_told_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(cz.CSpineZooError) as refused:
            Spool([File("a.dcm"), File("b.dcm", bytes(2000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.code == "disk_full"
    assert refused.value.hint
    assert list(tmp_path.iterdir()) == []
    assert Spool([File("b.dcm", bytes(2000))]).source.stat().st_size == 2000


def test_a_folder_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(cz.CSpineZooError) as refused:
        Spool([File("a.dcm")])
    assert refused.value.code == "upload_not_stored"
