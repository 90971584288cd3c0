"""The same scan gives the same voxels, however it was acquired, packed, named and compressed."""

from __future__ import annotations

import gzip
import random
import tempfile
import zipfile
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian

from cspine_zoo.ct.inspection import summarise
from cspine_zoo.ct.read import inspect_study, read_ct
from cspine_zoo.errors import StudyRejected
from tests.ct.dicom_writer import (
    BY_GDCM,
    ENCAPSULATED,
    ORIENTATIONS,
    UNCOMPRESSED,
    Slice,
    Study,
    acquire,
)

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# A loaded machine is slow, not wrong; examples are drawn alike on every run.
often = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def same(ct, body) -> None:
    hu, affine = body
    np.testing.assert_array_equal(ct.hu, hu.astype(np.float32))
    np.testing.assert_allclose(ct.geometry.affine, affine, atol=1e-5)
    assert min(ct.hu.strides) > 0  # torch takes no negative strides


def codes(ct) -> list[str]:
    return [notice.code for notice in ct.report.warnings]


def rotation(axis: Sequence[float], degrees: float) -> NDArray[np.float64]:
    """Rodrigues' formula."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


PLACEHOLDER = 111111


@pytest.fixture(scope="module")
def numbered(body, tmp_path_factory) -> list[bytes]:
    """Each slice as the bytes of a file, with an instance number that is easy to replace."""
    slices = acquire(*body)
    for one in slices:
        one.number = PLACEHOLDER
    path = tmp_path_factory.mktemp("numbered") / "one"
    study = Study()
    return [study.write(one, path).read_bytes() for one in slices]


@settings(often, max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_files_in_any_order_under_any_name_and_number(seed, numbered, folder, read_here, body):
    """0 order errors in 100 shuffles of the slices."""
    draw = random.Random(seed)
    instances = draw.sample(range(1, 999_999), len(numbered))
    names = draw.sample(range(10**9), len(numbered))
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for data, instance, name in zip(numbered, instances, names, strict=True):
            part = Path(directory, draw.choice(("", "a", "b/c")))
            part.mkdir(parents=True, exist_ok=True)
            paths.append(part / f"{name:x}{draw.choice(('', '.dcm', '.txt'))}")
            old = b"%06d" % PLACEHOLDER
            assert data.count(old) == 1
            paths[-1].write_bytes(data.replace(old, b"%06d" % instance))
        draw.shuffle(paths)
        ct = read_here(Path(directory) if draw.random() < 0.5 else paths)
    same(ct, body)
    assert len(ct.report.used) == len(numbered)
    assert not ct.report.skipped


@pytest.mark.parametrize("directions", ORIENTATIONS)
def test_left_stays_left_in_all_48_orientations(directions, body, tmp_path, read_here):
    Study().write_all(acquire(*body, directions), tmp_path)
    ct = read_here(tmp_path)
    same(ct, body)
    marker = ct.geometry.to_world(np.argwhere(ct.hu == 1500).mean(axis=0))
    middle = ct.geometry.to_world((np.array(ct.hu.shape) - 1) / 2)
    assert marker[0] < middle[0]  # RAS: the patient's left has the lower x


def in_range(body, bits: int, signed: bool):
    """The phantom squeezed into what ``bits`` can say, and its rescale."""
    hu, affine = body
    if bits == 8:
        hu = (np.clip(hu, -1000, 1500) // 10 * 10).astype(np.int16)
        return (hu, affine), 10.0, (280.0 if signed else -1000.0)
    return (hu, affine), 1.0, (0.0 if signed else -1024.0)


def garbage(ds, number):
    """Overlay planes and rubbish above the bits stored, as old scanners leave them."""
    words = np.frombuffer(ds.PixelData, "<u2").copy()
    above = np.random.default_rng(number).integers(0, 1 << 16, words.shape, dtype=np.uint16)
    mask = (1 << ds.BitsStored) - 1
    ds.PixelData = ((words & mask) | (above & ~np.uint16(mask))).astype("<u2").tobytes()


def write_mixed(slices: Sequence[Slice], studies: Sequence[Study], folder: Path) -> None:
    """One series whose slices are written by each study in turn; files are called by syntax."""
    for one, study in zip(slices, cycle(studies), strict=False):
        study.series_uid, study.study_uid = studies[0].series_uid, studies[0].study_uid
        study.write(one, folder / f"{one.number} {study.syntax}")


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_syntaxes_are_bit_identical(bits, signed, body, tmp_path, read_here):
    """Every syntax side by side in one series, twice with the slices dealt differently.

    HTJ2K has no encoder here: the catalogue decodes a code stream made elsewhere.
    """
    expected, slope, intercept = in_range(body, bits, signed)
    studies = [
        Study(syntax, slope, intercept, signed=signed, bits_stored=bits)
        for syntax in (*UNCOMPRESSED, *ENCAPSULATED, *BY_GDCM)
    ]
    for study in studies:
        if bits == 8 and study.syntax != ExplicitVRBigEndian:
            study.bits_allocated = 8
    for turn in (0, 7):  # slice 1 begins with another syntax each time
        folder = tmp_path / str(turn)
        folder.mkdir()
        write_mixed(acquire(*expected), studies[turn:] + studies[:turn], folder)
        ct = read_here(folder)
        assert not ct.report.skipped
        same(ct, expected)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("signed", [False, True])
def test_garbage_above_the_bits_stored_is_dropped(bits, signed, body, tmp_path, read_here):
    expected, slope, intercept = in_range(body, bits, signed)
    studies = [
        Study(syntax, slope, intercept, signed=signed, bits_stored=bits, change=garbage)
        for syntax in UNCOMPRESSED
        if syntax != ExplicitVRBigEndian
    ]
    write_mixed(acquire(*expected), studies, tmp_path)
    same(read_here(tmp_path), expected)


def write_nifti(path: Path, stored: NDArray, affine: NDArray, slope: float, intercept: float):
    image = nib.Nifti1Image(stored, affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, intercept)
    data = image.to_bytes()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


@settings(often, max_examples=8)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    degrees=st.floats(-40, 40),
    spacing=st.tuples(st.floats(1.2, 3), st.floats(1.2, 3), st.floats(2.7, 5)),
    corner=st.tuples(*[st.floats(-300, 300)] * 3),
    directions=st.sampled_from(ORIENTATIONS),
)
def test_zip_folder_list_and_nifti_agree(
    axis, degrees, spacing, corner, directions, body, read_here
):
    """One oblique scan in seven packings: one checksum, and one affine within 0.01 mm."""
    hu = body[0]
    affine = np.eye(4)
    affine[:3, :3] = rotation(axis, degrees) * spacing
    affine[:3, 3] = corner
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        files = Study().write_all(acquire(hu, affine, directions), root / "folder")
        with zipfile.ZipFile(root / "study.zip", "w") as archive:
            for path in files:
                archive.write(path, f"DICOM/{path.name}")
        scaled = (hu.astype(np.int32) + 1024) * 2
        sources = [
            root / "folder",
            files,
            root / "study.zip",
            write_nifti(root / "raw.nii", hu, affine, 1, 0),
            write_nifti(root / "scaled.nii", scaled.astype(np.int16), affine, 0.5, -1024),
            write_nifti(root / "float.nii.gz", hu.astype(np.float32), affine, 1, 0),
            write_nifti(root / "raw.nii.gz", hu[::-1, ::-1], affine @ _turned(hu.shape), 1, 0),
        ]
        volumes = [read_here(source) for source in sources]
    assert len({summarise(ct.hu).sha256 for ct in volumes}) == 1
    assert len({ct.geometry.shape for ct in volumes}) == 1
    first = volumes[0].geometry
    assert first.orientation == "RAS"
    for ct in volumes:
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(first.shape) - 1)
        apart = ct.geometry.to_world(corners) - first.to_world(corners)
        assert np.abs(apart).max() <= 0.01


def _turned(shape: Sequence[int]) -> NDArray[np.float64]:
    """Matrix of voxel axes I and J turned round."""
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix[:2, 3] = np.array(shape[:2]) - 1
    return matrix


def test_the_public_way_gives_the_same_figure(body, folder, pack, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", body[0], body[1], 1, 0)
    sources = [str(folder), pack(folder), sorted(folder.iterdir()), tmp_path / "scan.nii.gz"]
    assert len({inspect_study(source).hu.sha256 for source in sources}) == 1
    same(read_ct(folder), body)


ROD_LPS = np.array([14.0, -6.0])
MARKER_LPS = np.array([33.0, 12.0])
SIDE, PIXEL_MM, STEP_MM = 48, 2.0, 2.5


def blob(columns: NDArray, rows: NDArray, centre: Sequence[float]) -> NDArray:
    """A spot of one pixel's width whose centre of mass is where it should be."""
    weights = [
        np.clip(1 - np.abs(axis - place), 0, None)
        for axis, place in ((rows[:, None], centre[1]), (columns[None, :], centre[0]))
    ]
    return weights[0] * weights[1]


def gantry_slices(tilt: float, position: str, count: int = 20) -> list[Slice]:
    """Slices of a gantry tilted about the patient's x, on a table that moves along z.

    A rod runs along the table, and a fainter one, the marker, to the patient's left of it.
    """
    signs = {"HFS": (1, 1), "FFS": (-1, 1), "HFP": (-1, -1), "FFP": (1, -1)}[position]
    angle = np.radians(tilt)
    along_row = np.array([signs[0], 0.0, 0.0])
    along_column = signs[1] * np.array([0.0, np.cos(angle), np.sin(angle)])
    slices = []
    for k in range(count):
        centre = np.array([10.0, 0.0, STEP_MM * k])
        first = centre - (along_row + along_column) * PIXEL_MM * (SIDE - 1) / 2
        hu = np.full((SIDE, SIDE), -1000.0)
        for (x, y), density in ((ROD_LPS, 2000), (MARKER_LPS, 1000)):
            # Where the line (x, y, any z) meets the slice.
            column = (x - first[0]) / (along_row[0] * PIXEL_MM)
            row = (y - first[1]) / (along_column[1] * PIXEL_MM)
            hu += density * blob(np.arange(SIDE), np.arange(SIDE), (column, row))
        orientation = (*along_row, *along_column)
        slices.append(
            Slice(np.round(hu).astype(np.int16), tuple(first), orientation, (2.0, 2.0), k + 1)
        )
    return slices


@settings(often, max_examples=12)
@given(
    tilt=st.floats(-25, 25),
    position=st.sampled_from(["HFS", "FFS", "HFP", "FFP"]),
    seed=st.integers(0, 99),
)
def test_gantry_tilt_is_sheared_back(tilt, position, seed, read_here):
    """A column that is straight in the patient stays straight, and where it is."""
    slices = gantry_slices(tilt, position)
    random.Random(seed).shuffle(slices)
    with tempfile.TemporaryDirectory() as directory:
        Study(tags={"GantryDetectorTilt": 3.0}).write_all(slices, Path(directory))
        ct = read_here(directory)
    drift = 19 * STEP_MM * np.sin(np.radians(abs(tilt))) / PIXEL_MM
    assert ("tilt_corrected" in codes(ct)) == (drift > 0.25)
    columns = ct.geometry.affine[:3, :3] / ct.geometry.spacing_mm
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-6)
    found = {"rod": [], "marker": []}
    for k in range(ct.hu.shape[2]):
        plane = np.clip(ct.hu[:, :, k] + 1000.0, 0, None)
        for name, place in (("rod", -ROD_LPS), ("marker", -MARKER_LPS)):
            i, j = np.indices(plane.shape)
            x, y, _ = np.moveaxis(
                ct.geometry.to_world(np.stack([i, j, np.full_like(i, k)], -1)), -1, 0
            )
            near = plane * (np.hypot(x - place[0], y - place[1]) < 8)
            if near.sum() > 500:
                found[name].append(
                    (
                        (x * near).sum() / near.sum() - place[0],
                        (y * near).sum() / near.sum() - place[1],
                    )
                )
    for name, offsets in found.items():
        assert len(offsets) > 10, name  # at 25 degrees the ends leave the field of view
        assert np.abs(offsets).max() <= PIXEL_MM / 2, name


@settings(often, max_examples=8)
@given(
    step=st.floats(2.7, 6),
    thickness=st.sampled_from([None, "", 0.5, 3, 99]),
    between=st.sampled_from([None, -1, 0.1, 77]),
    location=st.sampled_from([None, 0]),
)
def test_spacing_comes_from_positions_alone(step, thickness, between, location, body, read_here):
    affine = body[1].copy()
    affine[2, 2] = step
    tags = {
        "SliceThickness": thickness,
        "SpacingBetweenSlices": between,
        "SliceLocation": location,
    }
    with tempfile.TemporaryDirectory() as directory:
        kept = {key: value for key, value in tags.items() if value is not None}
        Study(tags=kept).write_all(acquire(body[0], affine), Path(directory))
        ct = read_here(directory)
    np.testing.assert_array_equal(ct.hu, body[0])
    np.testing.assert_allclose(ct.geometry.affine, affine, atol=0.01)


@pytest.fixture(scope="module")
def long_study(tmp_path_factory) -> tuple[NDArray[np.int16], list[Path]]:
    """40 slices 2 mm apart."""
    hu = np.random.default_rng(5).integers(-1000, 900, (32, 32, 40)).astype(np.int16)
    path = tmp_path_factory.mktemp("long")
    return hu, Study().write_all(acquire(hu, np.diag([1.5, 1.5, 2.0, 1.0])), path)


@settings(often, max_examples=40)
@given(
    missing=st.sets(st.integers(0, 39), max_size=6),
    doubled=st.lists(st.integers(0, 39), max_size=6),
    seed=st.integers(0, 99),
)
def test_gaps_and_duplicates(missing, doubled, seed, long_study, read_here):
    """Copies change nothing; one slice is bridged, more in a row or at large are refused."""
    hu, paths = long_study
    kept = [k for k in range(40) if k not in missing]
    twins = [k for k in doubled if k not in missing]
    with tempfile.TemporaryDirectory() as directory:
        files = [paths[k] for k in kept]
        for n, k in enumerate(twins):
            files.append(Path(directory, f"twin{n}"))
            files[-1].write_bytes(paths[k].read_bytes())
        random.Random(seed).shuffle(files)
        inside = [k for k in range(kept[0], kept[-1] + 1) if k not in kept]
        if any(k + 1 in inside for k in inside):
            with pytest.raises(StudyRejected) as refusal:
                read_here(files)
            assert refusal.value.code == "gap"
            return
        ct = read_here(files)
    expected = hu.astype(np.float32)
    for k in inside:
        expected[:, :, k] = (expected[:, :, k - 1] + expected[:, :, k + 1]) / 2
    np.testing.assert_array_equal(ct.hu, expected[:, :, kept[0] : kept[-1] + 1])
    assert ct.geometry.affine[2, 3] == pytest.approx(2.0 * kept[0], abs=1e-6)
    assert codes(ct) == ["gap_filled"] * len(inside)
    assert [file.code for file in ct.report.skipped] == ["duplicate"] * len(twins)
