"""Descriptors, address space and disk that run out: never a file less, never a defect's words."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from errno import ENODEV, ENOMEM, ENOSPC

import numpy as np
import pytest

from cspine_zoo.ct import intake, voxels
from cspine_zoo.ct.assemble import assemble
from cspine_zoo.ct.intake import Item, take_in
from cspine_zoo.ct.voxels import SharedFile
from cspine_zoo.errors import StudyRejected


@pytest.fixture
def mapped(monkeypatch):
    """Small files are mapped as well."""
    monkeypatch.setattr(intake, "_MAPPED_FROM", 1)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_are_copied_where_descriptors_run_short(folder, mapped, monkeypatch):
    free = [os.dup(0) for _ in range(6)]  # in the order in which they are given: there are holes
    for descriptor in free:
        os.close(descriptor)
    limit = free[-1] + intake._DESCRIPTORS_LEFT
    monkeypatch.setattr(intake.resource, "getrlimit", lambda kind: (limit, limit))
    items = list(take_in(folder))
    assert {item.name: bytes(item.data) for item in items} == contents(folder)
    assert sum(isinstance(item.data.obj, mmap.mmap) for item in items) in range(1, 6)


@pytest.mark.parametrize("error", [OSError(ENODEV, ""), OSError(ENOMEM, ""), ValueError("shrunk")])
def test_files_that_cannot_be_mapped_are_copied(error, folder, mapped, monkeypatch):
    def refuse(*args, **options):
        raise error

    monkeypatch.setattr(intake.mmap, "mmap", refuse)
    items = list(take_in(folder))
    assert all(isinstance(item, Item) for item in items), items
    assert {item.name: bytes(item.data) for item in items} == contents(folder)


def test_memory_that_ends_while_files_are_read_is_told(folder):
    def items():
        yield from list(take_in(folder))[:3]
        raise MemoryError

    with pytest.raises(StudyRejected, match="memory") as info:
        assemble(items(), None, "")
    assert info.value.code == "too_large"


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_full_disk_is_no_defect(call, folder, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(ENOSPC, "no space")

    monkeypatch.setattr(voxels.os, call, refuse)
    with (tmp_path / "voxels").open("w+b") as file, pytest.raises(StudyRejected) as info:
        assemble(take_in(folder), None, "", SharedFile(file.fileno()))
    assert info.value.code == "too_large"


def test_planes_land_where_they_belong(tmp_path):
    """Every plane, in any order, and none of one that failed."""
    with (tmp_path / "voxels").open("w+b") as file:
        shared = SharedFile(file.fileno())
        planes = shared.allocate((5, 3, 4), np.float32)
        for number in (4, 0, 2):
            with shared.plane(number) as plane:
                plane[...] = number + 1
        with suppress(KeyError), shared.plane(1) as plane:
            plane[...] = 9
            raise KeyError
        assert np.array_equal(planes[:, 0, 0], [1, 0, 3, 0, 5])
        assert np.array_equal(planes.min(axis=(1, 2)), planes.max(axis=(1, 2)))
