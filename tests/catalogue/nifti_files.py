"""Section D, files: NIfTI in every form, and headers that claim what is not there."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tests.catalogue.case import Refused, Section, alone, read
from tests.catalogue.workbench import Workbench

SECTION = Section("D")
add = SECTION.add

Image = nib.Nifti1Image
Change = Callable[[Any], None]


def image_of(bench: Workbench, hu: NDArray[Any] | None = None, kind: type = Image) -> Any:
    """The expected volume as an image."""
    image = kind(bench.hu if hu is None else hu, bench.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"Canary description"
    return image


def saved(bench: Workbench, image: Any, name: str = "scan.nii") -> Path:
    """Write an image."""
    nib.save(image, bench.folder / name)
    return bench.folder / name


def patched(bench: Workbench, offset: int, form: str, *values: float) -> Path:
    """The phantom with one field of its header overwritten."""
    path = saved(bench, image_of(bench))
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path


# Forms that are well.


def _typed(dtype: str, bench: Workbench) -> Path:
    return saved(bench, image_of(bench, bench.hu.astype(dtype)))


for _dtype in ("int16", "int32", "float32", "float64", ">i2", ">f4"):
    add(f"voxels as {_dtype.replace('>', 'big endian ')}", read())(partial(_typed, _dtype))


@add("gzip", read())
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench), "scan.nii.gz")


@add("gzip in two members", read())
def _(bench: Workbench) -> Path:
    data = saved(bench, image_of(bench)).read_bytes()
    (bench.folder / "scan.nii").unlink()
    return bench.file("scan.nii.gz", gzip.compress(data[:5000]) + gzip.compress(data[5000:]))


@add("gzip by name only", read())
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench)).rename(bench.folder / "scan.nii.gz")


@add("NIfTI-2", read())
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench, kind=nib.Nifti2Image))


@add("NIfTI in a zip", read())
def _(bench: Workbench) -> Path:
    return bench.zip([("a/scan.nii", saved(bench, image_of(bench)).read_bytes())])


@add("one volume in four dimensions", read())
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench, bench.hu[..., None]))


@add("unsigned with slope and intercept", read())
def _(bench: Workbench) -> Path:
    image = image_of(bench, (bench.hu + 1024).astype(np.uint16))
    image.header.set_slope_inter(1, -1024)
    path = saved(bench, image)
    data = bytearray(path.read_bytes())
    struct.pack_into("<2f", data, 112, 1, -1024)
    path.write_bytes(data)
    return path


@add("extension before the voxels", read())
def _(bench: Workbench) -> Path:
    image = image_of(bench)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Canary " * 400))
    return saved(bench, image)


def _turned(flip: tuple[int, ...], order: tuple[int, ...], bench: Workbench) -> Path:
    hu, affine = np.flip(bench.hu, flip), bench.affine.copy()
    for axis in flip:
        affine[:3, 3] += affine[:3, axis] * (hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    turned = affine.copy()
    turned[:3, :3] = affine[:3, list(order)]
    image = Image(hu.transpose(order), turned)
    image.header.set_xyzt_units("mm")
    return saved(bench, image)


add("axes L, A, S", read())(partial(_turned, (0,), (0, 1, 2)))
add("axes L, P, I", read())(partial(_turned, (0, 1, 2), (0, 1, 2)))
add("axes P, S, R", read())(partial(_turned, (1,), (1, 2, 0)))


@add("beside DICOM", read(skipped=("nifti_beside_dicom",)))
def _(bench: Workbench) -> Path:
    saved(bench, image_of(bench))
    return bench.plain().parent


@add("two volumes", Refused("several_volumes"))
def _(bench: Workbench) -> Path:
    saved(bench, image_of(bench), "a.nii")
    saved(bench, image_of(bench), "b.nii.gz")
    return bench.folder


# Sizes that are claimed.


def _huge(bench: Workbench) -> bytes:
    path = patched(bench, 40, "<4h", 3, 32767, 32767, 32767)
    data = path.read_bytes()[:452]
    path.unlink()
    return data


@add("452 bytes that claim 32767^3", Refused("too_large"))
def _(bench: Workbench) -> Path:
    return bench.file("scan.nii", _huge(bench))


@add("452 bytes that claim 32767^3, gzip", Refused("too_large"))
def _(bench: Workbench) -> Path:
    return bench.file("scan.nii.gz", gzip.compress(_huge(bench)))


@add("452 bytes that claim 1000^3", Refused("truncated"))
def _(bench: Workbench) -> Path:
    data = patched(bench, 40, "<4h", 3, 1000, 1000, 1000).read_bytes()[:452]
    return bench.file("scan.nii", data)


def _bomb(bench: Workbench, sides: tuple[int, int, int], megabytes: int) -> Path:
    head = patched(bench, 40, "<4h", 3, *sides).read_bytes()[:352]
    (bench.folder / "scan.nii").unlink()
    engine = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    parts = [engine.compress(head)]
    air = np.full(1 << 19, -1000, "<i2").tobytes()
    parts += [engine.compress(air) for _ in range(megabytes)]
    return bench.file("scan.nii.gz", b"".join([*parts, engine.flush()]))


@add("gzip of 9 MB that inflates to 2 GB, announced", Refused("zip_bomb"), slow=True)
def _(bench: Workbench) -> Path:
    return _bomb(bench, (1000, 1000, 1000), 2048)


@add("gzip that inflates to 200 MB, announced", Refused("zip_bomb"))
def _(bench: Workbench) -> Path:
    return _bomb(bench, (512, 512, 400), 200)


@add("gzip that inflates to 2 GB after its voxels", Refused("bad_nifti"), slow=True)
def _(bench: Workbench) -> Path:
    """Only what the header asks for is inflated."""
    return _bomb(bench, (36, 34, 24), 2048)


@add("sizes below 0", Refused("too_large"))
def _(bench: Workbench) -> Path:
    return patched(bench, 42, "<3h", -36, -34, 24)


@add("size 0", Refused("too_large"))
def _(bench: Workbench) -> Path:
    return patched(bench, 42, "<h", 0)


@add("3,001 slices", Refused("too_many_slices"))
def _(bench: Workbench) -> Path:
    return patched(bench, 46, "<h", 3001)


@add("voxels cut off", Refused("truncated"))
def _(bench: Workbench) -> Path:
    return bench.file("cut.nii", saved(bench, image_of(bench)).read_bytes()[:-100])


@add("gzip cut off", Refused("truncated"))
def _(bench: Workbench) -> Path:
    data = gzip.compress(saved(bench, image_of(bench)).read_bytes())
    return bench.file("cut.nii.gz", data[: len(data) // 2])


add("gzip magic and noise", Refused("truncated"))(
    alone(b"\x1f\x8b\x08\0" + np.random.default_rng(1).bytes(500), "scan.nii.gz")
)
add("gzip of text", Refused("bad_nifti"))(alone(gzip.compress(b"not a volume" * 100), "s.nii.gz"))


@add("half the phantom", Refused("too_few_slices"))
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench, bench.hu[:, :, :12]))


# Not one scalar volume.


@add("four volumes", Refused("not_3d"))
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench, np.stack([bench.hu] * 4, axis=-1)))


@add("one slice in two dimensions", Refused("not_3d"))
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench, bench.hu[:, :, 0]))


@add("colours", Refused("not_3d"))
def _(bench: Workbench) -> Path:
    colour = np.zeros(bench.hu.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return saved(bench, image_of(bench, colour))


@add("complex numbers", Refused("not_3d"))
def _(bench: Workbench) -> Path:
    return saved(bench, image_of(bench, bench.hu.astype(np.complex64)))


@add("unknown data type", Refused("not_3d"))
def _(bench: Workbench) -> Path:
    return patched(bench, 70, "<h", 4242)


def _pair(kind: type, suffixes: tuple[str, ...], bench: Workbench) -> Path:
    image = kind(np.asarray(bench.hu), bench.affine)
    nib.save(image, bench.folder / "scan.img")
    for path in bench.folder.iterdir():
        if path.suffix not in suffixes:
            path.unlink()
    return bench.folder


for _name, _kind, _suffixes in (
    ("Analyze", nib.AnalyzeImage, (".hdr", ".img")),
    ("lone header of Analyze", nib.AnalyzeImage, (".hdr",)),
    ("header and voxels apart", nib.Nifti1Pair, (".hdr", ".img")),
    ("lone header", nib.Nifti1Pair, (".hdr",)),
):
    add(_name, Refused("nifti_pair"))(partial(_pair, _kind, _suffixes))


@add("wrong magic", Refused("nifti_pair"))
def _(bench: Workbench) -> Path:
    return patched(bench, 344, "<i", 0x41414141)


@add("wrong size of the header", Refused("no_dicom"))
def _(bench: Workbench) -> Path:
    return patched(bench, 0, "<i", 347)


@add("start of the voxels below 0", Refused("bad_nifti"))
def _(bench: Workbench) -> Path:
    return patched(bench, 108, "<f", -352)


@add("start of the voxels not a number", Refused("bad_nifti"))
def _(bench: Workbench) -> Path:
    return patched(bench, 108, "<f", np.nan)
