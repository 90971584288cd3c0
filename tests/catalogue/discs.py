"""Section A, discs: links, other packings, nothing at all, and what lies beside the images."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
from functools import partial
from pathlib import Path

from tests.catalogue.archives import entries
from tests.catalogue.case import Refused, Section, alone, read
from tests.catalogue.workbench import MARKUP, Workbench, plain_files
from tests.catalogue.zip_writer import Entry, write_zip

SECTION = Section("A")
add = SECTION.add

# Entries and files that are no plain files.


def _special(kind: int, bench: Workbench) -> Path:
    link = Entry(b"link", b"/etc/passwd", mode=kind | 0o777)
    return bench.file("study.zip", write_zip([*entries(), link]))


for _name, _kind in (
    ("symbolic link in a zip", stat.S_IFLNK),
    ("device in a zip", stat.S_IFBLK),
    ("pipe in a zip", stat.S_IFIFO),
):
    add(_name, read(skipped=("special_entry",)))(partial(_special, _kind))


@add("pipe in a folder", read(skipped=("special_entry",)))
def _(bench: Workbench) -> Path:
    os.mkfifo(bench.plain() / "pipe")
    return bench.folder


@add("links in a folder: in a circle, to nowhere", read("files_rejected", skipped=("unreadable",)))
def _(bench: Workbench) -> Path:
    study = bench.plain()
    (study / "circle").symlink_to(study)
    (study / "nowhere").symlink_to(study / "nothing")
    return study


# Other packings, and nothing at all.

for _name, _head in (
    ("7z", b"7z\xbc\xaf\x27\x1c"),
    ("rar", b"Rar!\x1a\x07\x01\0"),
    ("xz", b"\xfd7zXZ\x00"),
    ("bzip2", b"BZh91AY&SY"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
):
    add(_name, Refused("not_a_zip"))(alone(_head + bytes(500)))


def _tar(mode: str, bench: Workbench) -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{mode}") as archive:
        for name, content in plain_files():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return bench.file("study.tar", stream.getvalue())


add("tar", Refused("not_a_zip"))(partial(_tar, ""))
add("tar.gz", Refused("not_a_zip"))(partial(_tar, "gz"))
add("tar.bz2", Refused("not_a_zip"))(partial(_tar, "bz2"))
add("gzip of one DICOM file", Refused("not_a_zip"))(
    lambda bench: bench.file("IMG.gz", gzip.compress(plain_files()[0][1]))
)
add("file without content", Refused("no_dicom"))(alone(b""))
add("zip without entries", Refused("no_dicom"))(lambda bench: bench.zip([]))
add("zip of folders", Refused("no_dicom"))(lambda bench: bench.zip([("a/", b""), ("a/b/", b"")]))
add("folder without files", Refused("no_dicom"))(lambda bench: bench.folder)
add("list without files", Refused("no_dicom"))(lambda bench: [])
add("path that is not there", Refused("not_found"))(lambda bench: bench.folder / "nothing")
add("path with NUL", Refused("not_found"))(lambda bench: "a\0b")
add("path of 10,000 characters", Refused("not_found"))(lambda bench: "a" * 10_000)


@add("link to itself", Refused("not_found"))
def _(bench: Workbench) -> Path:
    (bench.folder / "loop").symlink_to("loop")
    return bench.folder / "loop"


# What lies beside the images on a disc.


@add("left behind by systems", read(skipped=("clutter",)))
def _(bench: Workbench) -> Path:
    some = [("__MACOSX/._IMG0001", b"\0\5\26\7"), (".DS_Store", b"x"), ("a/Thumbs.db", b"x")]
    return bench.zip([*plain_files(), *some])


@add("viewer, report and pictures", read(skipped=("not_dicom",)))
def _(bench: Workbench) -> Path:
    some = {
        "viewer.exe": b"MZ\x90\0" + bytes(600),
        "autorun.inf": b"[autorun]\r\nopen=viewer.exe",
        "report.pdf": b"%PDF-1.4",
        "key.jpg": b"\xff\xd8\xff\xe0",
        "index.html": b"<!DOCTYPE html><script>alert(1)</script>",
        "viewer.app/run": b"\x7fELF",
        MARKUP.replace("/", ""): b"hello",
    }
    for name, content in some.items():
        bench.file(f"study/{name}", content)
    return bench.plain()


@add("only a viewer", Refused("no_dicom"))
def _(bench: Workbench) -> Path:
    bench.file(f"{MARKUP.replace('/', '')}.exe", b"MZ\x90\0")
    return bench.folder


def _dicomdir() -> bytes:
    """An index that names files far away, which are never looked for."""
    name = b"/etc/passwd "
    record = b"\x04\x00\x00\x15CS" + struct.pack("<H", len(name)) + name
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(record)) + record
    sequence = b"\x04\x00\x20\x12SQ\0\0" + struct.pack("<I", len(item)) + item
    uid = b"1.2.840.10008.1.3.10"
    syntax = b"1.2.840.10008.1.2.1\0"
    meta = b"\x02\x00\x02\x00UI" + struct.pack("<H", len(uid)) + uid
    meta += b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
    length = b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta))
    return bytes(128) + b"DICM" + length + meta + sequence


@add("DICOMDIR beside the images", read(skipped=("dicomdir",)))
def _(bench: Workbench) -> Path:
    bench.file("study/DICOMDIR", _dicomdir())
    return bench.plain()


add("DICOMDIR alone", Refused("dicomdir"))(alone(_dicomdir(), "DICOMDIR"))
