"""Training on studies in RSNA's layout: from odd files to a model that predicts."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLosslessSV1

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import UsageError
from cspine_zoo.inference.predict import predict
from cspine_zoo.rsna.box_volume import boxes_in_volume
from cspine_zoo.rsna.boxes import Box
from cspine_zoo.rsna.layout import StudyRow, SyntheticFacts, read_layout
from cspine_zoo.rsna.masks import read_label_map
from cspine_zoo.rsna.split import Split
from cspine_zoo.rsna.write import write_study
from cspine_zoo.synthetic.synthesize import Order, synthesize
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.recipes import ClassifierPreset
from cspine_zoo.training.records import Vertebrae
from cspine_zoo.training.rsna_crops import TRUTH
from cspine_zoo.training.rsna_patches import RsnaPatches, make_volumes
from cspine_zoo.training.segmentation import UNKNOWN
from cspine_zoo.training.stored_split import check_leaks, stored_split
from cspine_zoo.training.train import Job, train
from cspine_zoo.zoo.load import load_model
from tests.ct.dicom_writer import recode
from tests.rsna.test_round_trip import study
from tests.training.made_up import TINY, TINY_SEVEN, tiny_source
from tests.training.tiny_run import TINY_SEGMENTER

CPU = Devices(1, "cpu", "float32")


def _row(uid: str, twin_of: str = "", fractured: int = 0) -> StudyRow:
    facts = SyntheticFacts(twin_of, "parametric", "1", None, None, None, None)
    return StudyRow(uid, (fractured,) + (0,) * 6, Path("nowhere"), synthetic=facts)


def test_a_split_is_drawn_once_and_kept(tmp_path: Path) -> None:
    rows = [_row(f"2.25.{n}", fractured=n % 2) for n in range(20)]
    path = tmp_path / "split.csv"
    split = stored_split(path, rows, seed=1)
    assert (len(split.train), len(split.held_out)) == (16, 4)
    again = stored_split(path, rows[::-1], seed=2)
    assert {row.uid for row in again.held_out} == {row.uid for row in split.held_out}
    with pytest.raises(UsageError) as caught:
        stored_split(path, [*rows, _row("2.25.99")], seed=1)
    assert caught.value.code == "other_split"


def test_a_split_that_tears_twins_or_studies_apart_is_refused(tmp_path: Path) -> None:
    rows = [_row("2.25.1"), _row("2.25.2", twin_of="2.25.1"), _row("2.25.3")]
    check_leaks(Split(tuple(rows[:2]), tuple(rows[2:])))
    torn = (
        Split(tuple(rows[1:]), tuple(rows[:1])),
        Split(tuple(rows), tuple(rows[2:])),
    )
    for split in torn:
        with pytest.raises(UsageError) as caught:
            check_leaks(split)
        assert caught.value.code == "split_leak"
    path = tmp_path / "split.csv"
    path.write_text("StudyInstanceUID,set\n2.25.1,train\n2.25.2,held-out\n2.25.3,train\n")
    with pytest.raises(UsageError) as caught:
        stored_split(path, rows, seed=1)
    assert caught.value.code == "split_leak"


@pytest.mark.parametrize("oblique", [False, True])
def test_boxes_lie_where_the_fracture_is(tmp_path: Path, oblique: bool) -> None:
    """In the world, whatever the order of the files: the written boxes cover the voxels they are
    of, with a rim of 2 mm, and no other slice."""
    written = study(oblique=oblique)
    folder = write_study(tmp_path, written)
    (row,) = read_layout(tmp_path)
    marked = boxes_in_volume(folder, row.boxes, written.geometry)
    assert written.fracture_mask is not None
    assert marked[written.fracture_mask].all()
    k = np.flatnonzero(written.fracture_mask.any(axis=(0, 1)))
    assert np.array_equal(np.flatnonzero(marked.any(axis=(0, 1))), k)
    assert marked[:, :, k[0]].sum() == (2 + 2 * 3) * (1 + 2 * 3)


def test_a_box_of_a_slice_that_is_missing_marks_nothing(tmp_path: Path) -> None:
    written = study()
    folder = write_study(tmp_path, written)
    boxes = [Box(99, 1, 1, 5, 5)]
    assert not boxes_in_volume(folder, boxes, written.geometry).any()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of tiny studies, as odd as RSNA's own."""
    root = tmp_path_factory.mktemp("rsna")
    uids = synthesize(Order(root, 6, seed=4, preset="tiny", twins=True), workers=1)
    images = [sorted((root / "train_images" / uid).glob("*.dcm")) for uid in uids]
    for path in images[0]:
        recode(path, JPEGLosslessSV1)
    for path in images[1]:
        header = pydicom.dcmread(path)
        del header.InstanceNumber
        header.save_as(path)
    images[2][len(images[2]) // 2].unlink()
    mask = root / "segmentations" / f"{uids[3]}.nii"
    image = nib.load(mask)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (image.shape[2] - 1)
    affine[:3, 2] *= -1
    voxels = np.asarray(
        image.dataobj
    ).copy()  # a copy: the file that is written is the one it is mapped to
    nib.save(nib.Nifti1Image(voxels[:, :, ::-1], affine), mask)
    return root


@pytest.mark.slow
def test_a_classifier_trains_on_odd_studies_loads_and_predicts(
    layout: Path, tmp_path: Path
) -> None:
    preset = replace(TINY, encoder_passes=2)
    path = train(Job(preset, tmp_path, layout, segmenter=TRUTH, devices=CPU, workers=0))
    (cache,) = tmp_path.glob("shared-*/crops")
    vertebrae = Vertebrae(cache)
    rows = {row.uid: row for row in read_layout(layout)}
    assert set(vertebrae.studies.tolist()) <= set(rows)
    assert len(vertebrae) >= 20
    for study_uid, level, label in zip(
        vertebrae.studies, vertebrae.levels, vertebrae.labels, strict=True
    ):
        assert label == rows[str(study_uid)].levels[level - 1]
    whole = vertebrae.labels == 0
    assert vertebrae.slice_known[whole].all()
    assert not vertebrae.slice_truth[whole].any()
    assert vertebrae.slice_truth[~whole].any()
    assert (vertebrae.twins >= 0).any()
    model = load_model(path, "cpu")
    assert "in the RSNA 2022 layout" in model.entry.training_data
    ct = read_ct(rows[sorted(rows)[0]].images)
    found = predict(ct, path, device="cpu")
    assert found.predictions[0].model == TINY.name
    assert [v.level for v in found.predictions[0].vertebrae] == list(LEVELS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    [TINY_SEVEN, tiny_source("cls-seven-bilstm-vgg16"), tiny_source("cls-bilstm-effv2s")],
    ids=lambda preset: preset.name,
)
def test_rows_of_every_recipe_train_load_and_predict(
    layout: Path, tmp_path: Path, preset: ClassifierPreset
) -> None:
    path = train(Job(preset, tmp_path, layout, segmenter=TRUTH, devices=CPU, workers=0))
    assert load_model(path, "cpu").entry.architecture.arguments == preset.arguments
    (row, *_) = read_layout(layout)
    (found,) = predict(read_ct(row.images), path, device="cpu").predictions
    assert found.model == preset.name
    assert all((v.probability is not None) == v.found for v in found.vertebrae)
    assert (found.patient_overall is not None) == any(v.found for v in found.vertebrae)


@pytest.mark.slow
def test_a_segmenter_trains_on_odd_studies_and_loads(layout: Path, tmp_path: Path) -> None:
    preset = replace(TINY_SEGMENTER, steps=3)
    path = train(Job(preset, tmp_path, layout, devices=CPU, workers=0))
    assert load_model(path, "cpu").entry.name == preset.name
    assert "with label maps" in load_model(path, "cpu").entry.training_data


@pytest.mark.slow
def test_patches_show_labels_where_the_bone_is(layout: Path, tmp_path: Path) -> None:
    """The reversed mask and the others alike; below the lowest label nothing is known."""
    volumes = make_volumes(read_layout(layout), tmp_path, (3.0, 3.0, 3.0))
    rows = [row for row in read_layout(layout) if (tmp_path / f"{row.uid}.npz").exists()]
    assert len(rows) == len(volumes) == 5  # the gap in one of them is too wide to be filled
    patches = RsnaPatches(tuple(volumes), (3.0, 3.0, 3.0))
    for seed in range(12):
        patch = patches.patch(seed, (16, 16, 16))
        bone = (patch.labels > 0) & (patch.labels != UNKNOWN)
        if int(bone.sum()) > 50:
            assert float(patch.hu[bone].mean()) > float(patch.hu[~bone].mean()) + 100
    for row, volume in zip(rows, volumes, strict=True):
        assert row.segmentation is not None
        ct = read_ct(row.images)
        truth = read_label_map(row.segmentation, ct.geometry)
        with np.load(volume) as stored:
            labels = stored["labels"]
            known = {int(label) for label in np.unique(labels)} - {UNKNOWN}
        assert known == {int(label) for label in np.unique(truth)}


@pytest.mark.slow
def test_boxes_decide_where_a_fracture_shows_and_without_them_nobody_knows(
    layout: Path, tmp_path: Path
) -> None:
    from cspine_zoo.training.rsna_crops import RsnaCrops

    rows = [row for row in read_layout(layout) if row.boxes][:1]
    known = RsnaCrops(TINY.preprocess, rows, TRUTH, 1).records(0)
    unknown = RsnaCrops(TINY.preprocess, [replace(rows[0], boxes=())], TRUTH, 1).records(0)
    broken = [(a, b) for a, b in zip(known, unknown, strict=True) if a.label]
    assert broken
    assert any(a.slice_truth.any() and a.fracture_map.max() > 0 for a, _ in broken)
    for _, without in broken:
        assert not without.slice_known.any()
        assert not without.slice_truth.any()
