"""Section A: what may be wrong, or only odd, with an archive or a folder."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tests.catalogue.case import Refused, Section, read
from tests.catalogue.workbench import MARKUP, Workbench, plain_files
from tests.catalogue.zip_writer import Entry, write_zip

SECTION = Section("A")
add = SECTION.add


def entries() -> list[Entry]:
    """The phantom's files."""
    return [Entry(name.encode(), content) for name, content in plain_files()]


# Packings that are well.


@add("folder", read())
def _(bench: Workbench) -> Path:
    return bench.plain()


@add("list of files, backwards", read())
def _(bench: Workbench) -> list[Path]:
    return sorted(bench.plain().iterdir(), reverse=True)


@add("zip, deflated", read())
def _(bench: Workbench) -> Path:
    return bench.zip()


@add("zip, stored", read())
def _(bench: Workbench) -> Path:
    return bench.zip(method=zipfile.ZIP_STORED)


@add("zip with 64-bit records", read())
def _(bench: Workbench) -> Path:
    path = bench.folder / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in plain_files():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(content)
    return path


@add("zip with a comment of 63 kB", read())
def _(bench: Workbench) -> Path:
    path = bench.zip()
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"Canary " * 9000
    return path


@add("zip in a zip", read())
def _(bench: Workbench) -> Path:
    return bench.zip([("inner.zip", bench.zip().read_bytes())])


@add("zip in a folder", read())
def _(bench: Workbench) -> Path:
    bench.zip()
    return bench.folder


@add("zip in a zip in a zip", Refused("no_dicom"))
def _(bench: Workbench) -> Path:
    middle = bench.zip([("inner.zip", bench.zip().read_bytes())])
    return bench.zip([("middle.zip", middle.read_bytes())])


@add("zips three deep beside the scan", read(skipped=("nested_zip",)))
def _(bench: Workbench) -> Path:
    middle = bench.zip([("inner.zip", bench.zip().read_bytes())])
    return bench.zip([*plain_files(), ("middle.zip", middle.read_bytes())])


# Bombs.


@add("250 entries share the bytes of one", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    kernel = Entry(b"a", bytes(21 << 20))
    twins = [replace(kernel, name=b"%d" % n, content=b"", offset=0) for n in range(250)]
    return bench.file("bomb.zip", write_zip([kernel, *twins]))


@add("an entry starts inside another", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    return bench.file("bomb.zip", write_zip([*entries(), Entry(b"x", b"x", offset=90)]))


@add("an entry reaches into the directory", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    return bench.file("bomb.zip", write_zip([*entries(), Entry(b"x", b"x", packed_size=200)]))


@add("one entry of 1000:1", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    return bench.zip([*plain_files(), ("bomb", bytes(64 << 20))])


@add("100:1 in all", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    content = np.random.default_rng(0).bytes(1 << 14) + bytes(7 << 20)
    return bench.zip([(f"part{n}", content) for n in range(6)])


@add("bomb in the inner zip", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    return bench.zip([("inner.zip", bench.zip([("b", bytes(64 << 20))]).read_bytes())])


@add("entries unpack to more than they declare", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip([Entry(b"x", bytes(30 << 20), size=1000)]))


@add("entries declare 1 GB each", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    liars = [replace(entry, size=(1 << 30) - 1) for entry in entries()]
    return bench.file("study.zip", write_zip(liars))


@add("entry of 2 GB", Refused("too_large"), slow=True)
def _(bench: Workbench) -> Path:
    path = bench.folder / "study.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("big", "w", force_zip64=True) as entry,
    ):
        for _ in range(2048):
            entry.write(bytes(1 << 20))
    return path


@add("files of 5 GB in all", Refused("too_large"), slow=True)
def _(bench: Workbench) -> Path:
    for n in range(6):
        with (bench.folder / f"{n}").open("wb") as file:
            file.write(plain_files()[0][1])
            file.truncate(900 << 20)  # sparse: costs no disk
    return bench.folder


@add("20,001 entries", Refused("too_many_files"))
def _(bench: Workbench) -> Path:
    return bench.file("many.zip", write_zip(Entry(b"%d" % n, method=0) for n in range(20_001)))


@add("20,001 entries over two inner zips", Refused("too_many_files"))
def _(bench: Workbench) -> Path:
    half = write_zip(Entry(b"%d" % n, method=0) for n in range(10_001))
    return bench.zip([("a.zip", half), ("b.zip", half)])


@add("20,001 files in a folder", Refused("too_many_files"), slow=True)
def _(bench: Workbench) -> Path:
    for n in range(20_001):
        (bench.folder / str(n)).touch()
    return bench.folder


# Records that contradict each other.


@add("directory of 4 GB claimed", Refused("too_many_files"))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip(entries(), size=0xFFFFFFF0))


@add("directory of 2^60 bytes claimed by zip64", Refused("too_many_files"))
def _(bench: Workbench) -> Path:
    plain = write_zip(entries(), size=0xFFFFFFFF)
    at = plain.rindex(b"PK\x05\x06")
    big = b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 24, 24, 1 << 60, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    return bench.file("study.zip", plain[:at] + big + locator + plain[at:])


@add("entry of 2^60 bytes claimed by zip64", Refused("too_large"))
def _(bench: Workbench) -> Path:
    extra = struct.pack("<2HQ", 1, 8, 1 << 60)
    liars = [replace(entry, size=0xFFFFFFFF, extra=extra) for entry in entries()]
    return bench.file("study.zip", write_zip(liars))


@add("end record counts other entries", read())
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip(entries(), count=3))


@add("no end record", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    data = bench.zip().read_bytes()
    return bench.file("study.zip", data[: data.rindex(b"PK\x05\x06")])


@add("truncated in the middle", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    data = bench.zip().read_bytes()
    return bench.file("study.zip", data[: len(data) // 2])


@add("truncated at the front", Refused("no_dicom"))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", bench.zip().read_bytes()[1000:])


@add("magic number and nothing else", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", b"PK\x03\x04" + bytes(100))


@add("checksum wrong in all", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    liars = [replace(entry, crc=1) for entry in entries()]
    return bench.file("study.zip", write_zip(liars))


@add("checksum wrong in one", read("files_rejected", "gap_filled", skipped=("bad_zip",)))
def _(bench: Workbench) -> Path:
    some = entries()
    some[9] = replace(some[9], crc=1)
    hu = bench.hu.astype(np.float32)
    hu[:, :, 9] = (hu[:, :, 8] + hu[:, :, 10]) / 2
    bench.expect(hu)
    return bench.file("study.zip", write_zip(some))


@add("deflate stream damaged", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    noise = [Entry(b"x", b"\xff" * 100, method=8).packed()[::-1] for _ in range(3)]
    packed = [Entry(b"%d" % n, data, method=0) for n, data in enumerate(noise)]
    data = write_zip(packed)
    return bench.file("study.zip", data.replace(b"\x14\0\0\0\0\0", b"\x14\0\0\0\x08\0"))


@add("directory points beside the entries", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    astray = Entry(b"a", bytes(9000), method=0, offset=7, packed_size=8000)
    return bench.file("study.zip", write_zip([astray]))


# Methods and passwords.


@add("password protected", Refused("encrypted_zip"))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip(replace(entry, flags=1) for entry in entries()))


@add("strongly encrypted", Refused("encrypted_zip"))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip(replace(entry, flags=0x41) for entry in entries()))


@add("one entry protected", read("files_rejected", skipped=("encrypted_zip",)))
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip([*entries(), Entry(b"x", b"secret", flags=1)]))


def _method(number: int, bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip(replace(entry, method=number) for entry in entries()))


for _name, _number in (
    ("LZMA", 14),
    ("BZIP2", 12),
    ("zstd", 93),
    ("Deflate64", 9),
    ("AES of WinZip", 99),
    ("an unknown method", 77),
):
    add(f"compressed by {_name}", Refused("zip_method"))(partial(_method, _number))


# Names: labels for messages, never paths.


def _named(pattern: bytes, bench: Workbench) -> Path:
    files = [replace(entry, name=pattern % entry.name) for entry in entries()]
    note = Entry(pattern % b"x.pdf", b"%PDF-1.4")
    return bench.file("study.zip", write_zip([*files, note]))


for _name, _pattern in (
    ("names that climb up", b"../../../../tmp/%b"),
    ("absolute names", b"/etc/%b"),
    ("names with drive letters", b"C:\\Windows\\%b"),
    ("names with NUL", b"a\0%b"),
    ("names of 60,000 characters", b"n" * 60_000 + b"%b"),
    ("names with markup and escapes", MARKUP.encode() + b"\r\n%b"),
    ("names that turn the text round", "\u202e%b".encode()),
    ("names of devices", b"CON/NUL/%b"),
    ("names in an old character set", b"\xe9\xff%b"),
):
    add(_name, read(skipped=("not_dicom",)))(partial(_named, _pattern))


@add("names that are not the UTF-8 they claim", Refused("bad_zip"))
def _(bench: Workbench) -> Path:
    odd = [replace(entry, name=b"\xff\xfe" + entry.name, flags=0x800) for entry in entries()]
    return bench.file("study.zip", write_zip(odd))


@add("all entries of one name", read())
def _(bench: Workbench) -> Path:
    return bench.file("study.zip", write_zip(replace(entry, name=b"IMG") for entry in entries()))


@add("names that differ in case only", read())
def _(bench: Workbench) -> Path:
    names = [bytes(b ^ 32 * (n >> i & 1) for i, b in enumerate(b"slice")) for n in range(24)]
    files = zip(entries(), names, strict=True)
    return bench.file("study.zip", write_zip(replace(entry, name=name) for entry, name in files))


@add("entry and local header disagree on the name", read())
def _(bench: Workbench) -> Path:
    other = [replace(entry, local_name=b"/etc/pas"[: len(entry.name)]) for entry in entries()]
    return bench.file("study.zip", write_zip(replace(entry) for entry in other))
