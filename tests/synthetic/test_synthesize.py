"""Sets of studies on disk read back as the studies that were made."""

import csv
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import UsageError
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.rsna.masks import read_label_map
from cspine_zoo.synthetic.study import SyntheticStudy, draw_twins
from cspine_zoo.synthetic.synthesize import PRESETS, Order, scene_seed, synthesize

SEED = 3


def order(out: Path, count: int = 2, **changes: object) -> Order:
    parts: dict[str, object] = {"seed": SEED, "preset": "tiny", "twins": True}
    return Order(out, count, **(parts | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("set")
    return out, synthesize(order(out, preview=out / "sheets" / "sheet.png"), workers=1)


@pytest.fixture(scope="module")
def made() -> tuple[SyntheticStudy, SyntheticStudy]:
    return draw_twins(scene_seed(order(Path()), 0), PRESETS["tiny"])


def _rows(written: tuple[Path, list[str]]) -> list[StudyRow]:
    rows = {row.uid: row for row in read_layout(written[0])}
    return [rows[name] for name in written[1]]


def test_twins_know_each_other_and_differ_in_their_flags(
    written: tuple[Path, list[str]], made: tuple[SyntheticStudy, SyntheticStudy]
) -> None:
    broken, whole = _rows(written)
    assert (broken.twin_of, whole.twin_of) == (whole.uid, broken.uid)
    assert (broken.patient_overall, whole.patient_overall) == (1, 0)
    assert dict(zip(LEVELS, broken.levels, strict=True)) == made[0].levels()
    assert broken.synthetic is not None
    assert whole.synthetic is not None
    assert broken.synthetic.seed == whole.synthetic.seed
    assert broken.synthetic.anatomy == "parametric"
    assert broken.synthetic.conspicuity == pytest.approx(made[0].conspicuity, abs=0.01)
    assert whole.synthetic.conspicuity == 0
    assert broken.boxes
    assert not whole.boxes


@pytest.mark.slow
def test_an_odd_set_of_twins_has_as_many_studies_as_were_asked_for(tmp_path: Path) -> None:
    names = synthesize(order(tmp_path, 1), workers=1)
    (row,) = read_layout(tmp_path)
    assert [row.uid] == names
    assert row.patient_overall == 1
    assert not row.twin_of


def test_what_is_read_is_what_was_made(
    written: tuple[Path, list[str]], made: tuple[SyntheticStudy, SyntheticStudy]
) -> None:
    for row, study in zip(_rows(written), made, strict=True):
        ct = read_ct(row.images)
        np.testing.assert_allclose(ct.geometry.affine, study.geometry.affine, atol=1e-3)
        assert np.array_equal(ct.hu, study.hu)
        assert row.segmentation is not None
        assert np.array_equal(read_label_map(row.segmentation, ct.geometry), study.labels)
    broken = _rows(written)[0]
    assert broken.fractures is not None
    fractures = read_label_map(broken.fractures, made[0].geometry)
    flagged = {LEVELS[i] for i, flag in enumerate(broken.levels) if flag}
    assert {LEVELS[label - 1] for label in np.unique(fractures[fractures > 0])} == flagged


def test_the_contact_sheet_shows_one_row_a_patient(written: tuple[Path, list[str]]) -> None:
    with Image.open(written[0] / "sheets" / "sheet.png") as sheet:
        assert sheet.width == 6 * sheet.height
        assert len(np.unique(np.asarray(sheet))) > 50


@pytest.mark.slow
def test_a_set_goes_on_where_it_stopped(written: tuple[Path, list[str]], tmp_path: Path) -> None:
    source, names = written
    out = tmp_path / "set"
    shutil.copytree(source, out)
    slices = sorted((out / "train_images" / names[0]).iterdir())
    before = {path: path.stat().st_mtime_ns for path in slices}
    assert synthesize(order(out), workers=1) == names
    assert {path: path.stat().st_mtime_ns for path in slices} == before
    _interrupt(out, names[0])
    slices[3].unlink()
    assert synthesize(order(out), workers=1) == names
    for path in slices:
        assert path.read_bytes() == (source / path.relative_to(out)).read_bytes()


def _interrupt(out: Path, uid: str) -> None:
    """A study without its row in train.csv is one that was not finished."""
    with (out / "train.csv").open(newline="") as stream:
        heading, *rows = list(csv.reader(stream))
    with (out / "train.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([heading, *(row for row in rows if row[0] != uid)])


def test_a_longer_set_begins_with_the_shorter_one() -> None:
    short, long = (order(Path(), count) for count in (2, 10))
    assert [scene_seed(short, scene) for scene in range(3)] == [
        scene_seed(long, scene) for scene in range(3)
    ]


def test_presets_and_seeds_never_share_a_patient() -> None:
    """What is held out stays unseen whatever seed someone trains with."""
    seeds = [
        scene_seed(order(Path(), preset=preset, seed=seed), scene)
        for preset in PRESETS
        for seed in range(5)
        for scene in range(50)
    ]
    assert len(set(seeds)) == len(seeds)


def test_plain_nifti_holds_the_scan_and_its_labels(tmp_path: Path) -> None:
    (name,) = synthesize(order(tmp_path, 1, layout="nifti", twins=False), workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.nii.gz", f"{name}.labels.nii.gz"}
    twins = draw_twins(scene_seed(order(tmp_path), 0), PRESETS["tiny"])
    ct = read_ct(tmp_path / f"{name}.nii.gz")
    assert any(np.array_equal(ct.hu, study.hu) for study in twins)
    np.testing.assert_allclose(ct.geometry.affine, twins[0].geometry.affine, atol=1e-3)
    labels = nibabel.load(tmp_path / f"{name}.labels.nii.gz")
    assert any(np.array_equal(np.asanyarray(labels.dataobj), study.labels) for study in twins)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    synthesize(order(tmp_path, 1, layout="nifti", twins=False), workers=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"preset": "enormous"}, "unknown_preset"),
        ({"layout": "png"}, "unknown_format"),
        ({"count": 0}, "bad_count"),
        ({"seed": -1}, "bad_seed"),
    ],
)
def test_an_impossible_order_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Order(**({"out": Path(), "count": 2} | changes))  # type: ignore[arg-type]
    assert caught.value.code == code


def test_an_anatomy_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    out = tmp_path / "set"
    with pytest.raises(UsageError) as caught:
        synthesize(order(out, anatomies=(tmp_path / "absent.nii.gz",)), workers=1)
    assert caught.value.code == "bad_anatomy"
    assert not out.exists()
