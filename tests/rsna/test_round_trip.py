"""What is written in the RSNA layout reads back as the same patient."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import StudyRejected, UsageError
from cspine_zoo.rsna.layout import StudyRow, SyntheticFacts, read_layout
from cspine_zoo.rsna.masks import read_label_map
from cspine_zoo.rsna.split import split_studies, twin_groups
from cspine_zoo.rsna.uids import deterministic_uid
from cspine_zoo.rsna.write import StudyToWrite, write_study, written_uids

SHAPE = (24, 20, 18)
SPACING = (0.7, 0.6, 2.0)
FACTS = {
    "twin_of": "",
    "anatomy": "parametric",
    "seed": 7,
    "conspicuity": 3.25,
    "displacement_mm": 1.5,
    "thickness_mm": 2.5,
    "noise_hu": 20.0,
}


def geometry(oblique: bool = False) -> Geometry:
    turn = np.eye(3)
    if oblique:
        c, s = np.cos(0.2), np.sin(0.2)
        turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING
    affine[:3, 3] = (-12.5, 3.25, -101.123456789)
    return Geometry(SHAPE, affine)


def study(uid: str = "2.25.1", oblique: bool = False, **changes: object) -> StudyToWrite:
    """No symmetry anywhere: a mirror or a reversal along any axis shows."""
    rng = np.random.default_rng(3)
    hu = rng.integers(-1024, 3000, SHAPE).astype(np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 4:8, 11:15] = LABEL_OF["C4"]
    labels[3:9, 4:8, 6:10] = LABEL_OF["C5"]
    labels[10:12, 4:8, 1:4] = 9
    fracture = np.zeros(SHAPE, bool)
    fracture[4:6, 5, 7:9] = True
    parts: dict[str, object] = {
        "levels": {"C5": 1},
        "label_map": labels,
        "fracture_mask": fracture,
        "synthetic": FACTS,
    }
    return StudyToWrite(uid, hu, geometry(oblique), **(parts | changes))  # type: ignore[arg-type]


def slices(folder: Path) -> dict[int, pydicom.Dataset]:
    return {int(path.stem): pydicom.dcmread(path) for path in folder.glob("*.dcm")}


@pytest.mark.parametrize("oblique", [False, True])
def test_every_voxel_keeps_its_hu_at_its_place_in_the_patient(
    tmp_path: Path, oblique: bool
) -> None:
    written = study(oblique=oblique)
    files = slices(write_study(tmp_path, written))
    assert sorted(files) == list(range(1, SHAPE[2] + 1))
    for dataset in files.values():
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        position = np.array(dataset.ImagePositionPatient, float)
        along_row = np.array(dataset.ImageOrientationPatient[:3], float)
        down_column = np.array(dataset.ImageOrientationPatient[3:], float)
        row_mm, column_mm = map(float, dataset.PixelSpacing)
        for row, column in ((0, 0), (2, 17), (19, 23)):
            lps = position + along_row * column_mm * column + down_column * row_mm * row
            voxel = written.geometry.to_voxel(lps * (-1, -1, 1))
            assert np.abs(voxel - np.rint(voxel)).max() < 1e-6
            assert hu[row, column] == written.hu[tuple(np.rint(voxel).astype(int))]


def test_files_say_what_a_reader_needs_and_invent_no_patient(tmp_path: Path) -> None:
    files = slices(write_study(tmp_path, study()))
    for name, dataset in files.items():
        assert dataset.InstanceNumber == name
        assert (dataset.Modality, list(dataset.ImageType)) == (
            "CT",
            ["ORIGINAL", "PRIMARY", "AXIAL"],
        )
        assert dataset.SliceThickness == 2.5
        assert dataset.PatientName == "Synthetic^Phantom"
        assert not dataset.PatientID
        assert "StudyDate" in dataset
        assert not dataset.StudyDate
        assert dataset.StudyInstanceUID == "2.25.1"
        assert pydicom.uid.UID(dataset.SOPInstanceUID).is_valid
    assert len({dataset.SOPInstanceUID for dataset in files.values()}) == SHAPE[2]
    for keyword in ("SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({dataset[keyword].value for dataset in files.values()}) == 1


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_study(tmp_path / name, study())
    first = {path.relative_to(tmp_path / "a"): path for path in (tmp_path / "a").rglob("*")}
    files = [name for name, path in first.items() if path.is_file()]
    assert len(files) >= SHAPE[2] + 5
    for name in files:
        assert first[name].read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_pixels_and_mask_stand_in_the_relation_known_from_rsna(tmp_path: Path) -> None:
    written = study()
    files = slices(write_study(tmp_path, written))
    nii = np.asarray(nib.load(tmp_path / "segmentations" / "2.25.1.nii").dataobj)
    assert nii.max() == 9
    pixels = np.stack([files[n].pixel_array for n in sorted(files)], axis=-1)
    mask = nii.transpose(1, 0, 2)[::-1, :, ::-1]
    hu_of_c5 = np.sort(pixels[mask == LABEL_OF["C5"]] - 1024)
    assert np.array_equal(hu_of_c5, np.sort(written.hu[written.label_map == LABEL_OF["C5"]]))


def test_a_box_frames_the_fracture_in_the_file_it_names(tmp_path: Path) -> None:
    written = study()
    files = slices(write_study(tmp_path, written))
    (row,) = read_layout(tmp_path)
    assert [box.slice_number for box in row.boxes] == [SHAPE[2] - 8, SHAPE[2] - 7]
    for box in row.boxes:
        pixels = files[box.slice_number].pixel_array - 1024
        x, y, width, height = (int(v) for v in (box.x, box.y, box.width, box.height))
        inside = pixels[y : y + height, x : x + width]
        k = SHAPE[2] - box.slice_number
        assert np.isin(written.hu[4:6, 5, k], inside).all()
        assert (width, height) == (2 + 2 * 3, 1 + 2 * 3)  # margins of 2 mm in 0.7 and 0.6 mm pixels


def test_masks_read_back_through_the_affine(tmp_path: Path) -> None:
    written = study(oblique=True)
    write_study(tmp_path, written)
    (row,) = read_layout(tmp_path)
    assert row.segmentation is not None
    assert row.fractures is not None
    labels = read_label_map(row.segmentation, written.geometry)
    assert written.label_map is not None
    assert np.array_equal(labels, np.minimum(written.label_map, 8))
    fractures = read_label_map(row.fractures, written.geometry)
    assert np.array_equal(fractures == LABEL_OF["C5"], written.fracture_mask)


@pytest.mark.parametrize("axes", ["ASL", "PIR", "LPS", "SRA", "LAI"])
def test_geometry_and_no_axis_order_places_a_sagittal_or_reversed_mask(
    tmp_path: Path, axes: str
) -> None:
    written = study()
    assert written.label_map is not None
    image = nib.Nifti1Image(written.label_map, written.geometry.affine)
    target = nib.orientations.axcodes2ornt(tuple(axes))
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(image.affine), target)
    )
    nib.save(turned, tmp_path / "mask.nii.gz")
    labels = read_label_map(tmp_path / "mask.nii.gz", written.geometry)
    assert np.array_equal(labels, np.minimum(written.label_map, 8))


def test_a_mask_on_a_tilted_or_smaller_grid_is_sampled_where_it_lies(tmp_path: Path) -> None:
    straight, tilted = study(), geometry(oblique=True)
    assert straight.label_map is not None
    path = tmp_path / "mask.nii"
    nib.save(nib.Nifti1Image(straight.label_map, straight.geometry.affine), path)
    labels = read_label_map(path, tilted)
    voxel = np.argwhere(labels == LABEL_OF["C4"])
    there = np.rint(straight.geometry.to_voxel(tilted.to_world(voxel.astype(float)))).astype(int)
    assert len(voxel)
    assert (straight.label_map[tuple(there.T)] == LABEL_OF["C4"]).all()
    smaller = straight.geometry.cropped((2, 3, 5), (10, 10, 8))
    assert np.array_equal(
        read_label_map(path, smaller), np.minimum(straight.label_map[2:12, 3:13, 5:13], 8)
    )


@pytest.mark.parametrize("content", [b"", b"not a nifti", None])
def test_a_bad_mask_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mask.nii"
    if content is None:
        nib.save(nib.Nifti1Image(np.full(SHAPE, 0.5, np.float32), np.eye(4)), path)
    else:
        path.write_bytes(content)
    with pytest.raises(StudyRejected) as caught:
        read_label_map(path, geometry())
    assert caught.value.code in {"mask_unreadable", "mask_labels"}


def test_fractures_of_several_levels_go_to_the_nearest_bone(tmp_path: Path) -> None:
    fracture = np.zeros(SHAPE, bool)
    fracture[4, 5, 7:9] = True
    fracture[4, 5, 12] = True
    written = study(levels={"C4": 1, "C5": 1}, fracture_mask=fracture)
    write_study(tmp_path, written)
    (row,) = read_layout(tmp_path)
    assert row.fractures is not None
    by_level = read_label_map(row.fractures, written.geometry)
    assert by_level[4, 5, 7:9].tolist() == [5, 5]
    assert by_level[4, 5, 12] == 4
    assert row.level("C4") == row.level("C5") == row.patient_overall == 1


def test_rows_stay_sorted_and_single_whatever_the_order_of_writing(tmp_path: Path) -> None:
    for name, order in (
        ("a", ("2.25.1", "2.25.2", "2.25.3")),
        ("b", ("2.25.3", "2.25.1", "2.25.2")),
    ):
        for uid in order:
            assert uid not in written_uids(tmp_path / name)
            write_study(tmp_path / name, study(uid))
    write_study(tmp_path / "a", study("2.25.1", levels={}, label_map=None, fracture_mask=None))
    assert read_layout(tmp_path / "a")[0].segmentation is None
    assert read_layout(tmp_path / "a")[0].boxes == ()
    write_study(tmp_path / "a", study("2.25.1"))
    for table in ("train.csv", "train_bounding_boxes.csv", "synthetic.csv"):
        first = (tmp_path / "a" / table).read_text()
        assert first == (tmp_path / "b" / table).read_text()
    assert written_uids(tmp_path / "a") == {"2.25.1", "2.25.2", "2.25.3"}
    header = (tmp_path / "a" / "train.csv").read_text().splitlines()[0]
    assert header == "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7"
    numbers = [box.slice_number for box in read_layout(tmp_path / "a")[0].boxes]
    assert numbers == sorted(numbers)


def test_synthetic_facts_read_back(tmp_path: Path) -> None:
    write_study(tmp_path, study())
    whole = {**FACTS, "twin_of": "2.25.1", "conspicuity": None, "displacement_mm": None}
    write_study(tmp_path, study("2.25.2", levels={}, fracture_mask=None, synthetic=whole))
    fractured, twin = read_layout(tmp_path)
    assert fractured.synthetic is not None
    assert twin.synthetic is not None
    assert (fractured.synthetic.conspicuity, fractured.synthetic.seed) == (3.25, "7")
    assert (twin.twin_of, twin.synthetic.conspicuity, twin.boxes) == ("2.25.1", None, ())
    assert twin_groups([fractured, twin]) == ((0, 1),)


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": {"C8": 1}},
        {"levels": {"C5": 2}},
        {"label_map": np.zeros((2, 2, 2), np.uint8)},
        {"synthetic": {"gap": 1.0}},
        {"uid": "../escape"},
    ],
)
def test_contradictions_are_refused_before_anything_is_written(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        study(**changes)  # type: ignore[arg-type]


def test_fracture_voxels_need_a_fractured_level(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no fractured level"):
        write_study(tmp_path, study(levels={}))
    assert not list(tmp_path.iterdir())


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyRejected) as caught:
        read_layout(tmp_path)
    assert caught.value.code == "not_rsna_layout"
    (tmp_path / "train.csv").write_text("StudyInstanceUID,C1\n1.2,0\n")
    with pytest.raises(StudyRejected, match="patient_overall"):
        read_layout(tmp_path)
    header = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n"
    for line in ("1.2,0,0,0,0,0,0,0,1", "1.2,1,0,0,0,0,0,0,x", "1.2,1,0,0", "1.2,2,0,0,0,0,0,0,2"):
        (tmp_path / "train.csv").write_text(header + line + "\n")
        with pytest.raises(StudyRejected):
            read_layout(tmp_path)


def test_uids_are_valid_and_follow_from_their_parts() -> None:
    assert pydicom.uid.UID(deterministic_uid("a", 1)).is_valid
    assert deterministic_uid("a", 1) == deterministic_uid("a", 1) != deterministic_uid("a1")


def test_a_split_keeps_twins_together_and_repeats_itself() -> None:
    rows = [
        StudyRow(
            uid=f"2.25.{n}",
            levels=(0,) * 6 + (n % 2,),
            images=Path("none"),
            synthetic=SyntheticFacts(
                "" if n % 2 else f"2.25.{n - 1}", "parametric", "1", None, None, None, None
            ),
        )
        for n in range(1, 9)
    ]
    split = split_studies(rows, seed=1, held_out=0.25)
    again = split_studies(rows[::-1], seed=1, held_out=0.25)
    assert [row.uid for row in split.held_out] == [row.uid for row in again.held_out]
    assert len(split.held_out) == 2
    assert len(split.train) == 6
    first, second = split.held_out
    assert second.twin_of == first.uid
    drawn = {split_studies(rows, seed=s, held_out=0.25).held_out[0].uid for s in range(9)}
    assert len(drawn) > 1
    with pytest.raises(UsageError):
        split_studies(rows, seed=1, held_out=1)
