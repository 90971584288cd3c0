"""Vertebrae out of label maps: what goes in comes out in its place, what is wrong is refused."""

import json
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.errors import UsageError
from cspine_zoo.synthetic.label_shapes import SampledShape, read_shapes
from cspine_zoo.synthetic.morphometry import SIZES
from cspine_zoo.synthetic.scene import Scene
from cspine_zoo.synthetic.vertebra import Variation, VertebraShape, parametric

ROOT = Path(__file__).parent.parent.parent
ARTISYNTH = ROOT.parent / "shared/data/anatomy/artisynth/artisynth_labels.nii.gz"

SPACING = 2.0


def _origins() -> dict[str, np.ndarray]:
    """A straight upright spine of average vertebrae; the atlas sits over the dens."""
    origins = {"C2": np.array([4.0, -7.0, 60.0])}
    origins["C1"] = origins["C2"] + [0.0, 10.5, 21.0]
    for above, level in pairwise(LEVELS[1:]):
        origins[level] = origins[above] - [0.0, 0.0, SIZES[above].pitch]
    return origins


def _not_upper_left(local: torch.Tensor) -> torch.Tensor:
    """No vertebra is symmetric, so that a swap of sides shows."""
    return (local[0] > -10) | (local[2] < 1)


@pytest.fixture(scope="module")
def label_map() -> tuple[np.ndarray, np.ndarray]:
    """Labels and RAS affine of that spine; its left halves lack their upper part."""
    origins = _origins()
    shape = (47, 44, 84)
    affine = np.diag([SPACING] * 3 + [1.0])
    affine[:3, 3] = [-42.0, -66.0, -55.0]
    labels = np.zeros(shape, np.uint8)
    voxels = np.indices(shape).reshape(3, -1).T
    world = Geometry(shape, affine).to_world(voxels.astype(float))
    for level in LEVELS:
        local = torch.tensor((world - origins[level]).T, dtype=torch.float32)
        inside = parametric(level, SIZES[level], Variation()).distance(local) < 0
        inside &= _not_upper_left(local)
        labels[inside.reshape(shape).numpy()] = LABEL_OF[level]
    return labels, affine


def _middle(labels: np.ndarray) -> np.ndarray:
    """C2 to C4 alone: what is around C3 stays."""
    return np.where((labels >= LABEL_OF["C2"]) & (labels <= LABEL_OF["C4"]), labels, 0)


def _save(path: Path, labels: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return path


@pytest.fixture(scope="module")
def shapes(
    label_map: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, VertebraShape]:
    return read_shapes(_save(tmp_path_factory.mktemp("map") / "spine.nii.gz", *label_map))


def test_every_level_is_read(shapes: dict[str, VertebraShape]) -> None:
    assert list(shapes) == list(LEVELS)


@pytest.mark.parametrize("level", LEVELS)
def test_a_vertebra_comes_back_in_its_own_frame(
    shapes: dict[str, VertebraShape], level: str
) -> None:
    """Dice with the solid that the map was drawn from, both in the vertebra's frame."""
    axes = [torch.arange(-45, 45, 2.0), torch.arange(-58, 16, 2.0), torch.arange(-24, 34, 2.0)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    original = parametric(level, SIZES[level], Variation()).distance(points) < 0
    original &= _not_upper_left(points)
    found = shapes[level].distance(points) < 0
    dice = 2 * (original & found).sum() / (original.sum() + found.sum())
    assert float(dice) > (0.7 if level in ("C1", "C2") else 0.8)  # these two are placed by rule
    upper = found & (points[2] > 3)
    right, left = (int((upper & side).sum()) for side in (points[0] > 13, points[0] < -13))
    assert right > 3 * left, "what is missing must stay missing on the left"


def test_distances_are_in_mm_and_go_on_beyond_the_box(shapes: dict[str, VertebraShape]) -> None:
    before = torch.tensor([[0.0, 0.0, 0.0], [12.0, 17.0, 48.0], [0.0, 0.0, 0.0]])
    near, further, outside = shapes["C4"].distance(before).tolist()
    assert near == pytest.approx(12.0 - SIZES["C4"].half_depth, abs=1.5)
    assert further - near == pytest.approx(5.0, abs=0.8)
    assert outside == pytest.approx(further + 31.0, abs=1.5)


def test_a_read_spine_takes_the_place_of_the_parametric_one(
    shapes: dict[str, VertebraShape],
) -> None:
    """The same seed puts both into the same frames: they fill the same places."""
    whole, borrowed = Scene.draw(4), Scene.draw(4, shapes)
    assert (whole.anatomy, borrowed.anatomy) == ("parametric", "label-map")
    assert Scene.draw(4, {"C4": shapes["C4"]}).anatomy == "mixed"
    for level in LEVELS:
        vertebra, other = whole.spine[level], borrowed.spine[level]
        assert isinstance(other.shape, SampledShape)
        low, high = vertebra.bounds()
        axes = [torch.arange(a, b, 2.5) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        first = vertebra.distance(vertebra.to_local(points)) < 0
        second = other.distance(other.to_local(points)) < 0
        dice = 2 * (first & second).sum() / (first.sum() + second.sum())
        assert float(dice) > 0.6, level


def test_storage_order_of_the_map_does_not_matter(
    label_map: tuple[np.ndarray, np.ndarray], shapes: dict[str, VertebraShape], tmp_path: Path
) -> None:
    labels, affine = _middle(label_map[0]), label_map[1]
    turned = affine.copy()
    turned[:3, 3] += turned[:3, 0] * (labels.shape[0] - 1)
    turned[:3, 0] *= -1
    turned = turned[:, [2, 0, 1, 3]]
    stored = np.transpose(labels[::-1], (2, 0, 1))
    again = read_shapes(_save(tmp_path / "lps.nii.gz", np.ascontiguousarray(stored), turned))
    first, second = shapes["C3"], again["C3"]
    assert isinstance(first, SampledShape)
    assert isinstance(second, SampledShape)
    torch.testing.assert_close(second.grid, first.grid, atol=1e-3, rtol=0)


def test_numbers_beside_the_map_are_used(
    label_map: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    labels, affine = _middle(label_map[0]), label_map[1]
    path = _save(tmp_path / "other.nii.gz", np.where(labels > 0, labels + 40, 0), affine)
    with pytest.raises(UsageError):
        read_shapes(path)
    table = {str(number + 40): level for level, number in LABEL_OF.items()}
    beside = tmp_path / "other.labels.json"
    beside.write_text(json.dumps(table | {"60": "hyoid"}))
    assert list(read_shapes(path)) == ["C2", "C3", "C4"]
    beside.write_text("{not json")
    with pytest.raises(UsageError) as caught:
        read_shapes(path)
    assert caught.value.code == "bad_anatomy"
    beside.write_text("[1, 2]")
    with pytest.raises(UsageError):
        read_shapes(path)


@pytest.mark.parametrize("axis", [1, 2], ids=["back to front", "upside down"])
def test_a_map_that_lies_about_its_orientation_is_refused(
    label_map: tuple[np.ndarray, np.ndarray], tmp_path: Path, axis: int
) -> None:
    labels, affine = label_map
    path = _save(tmp_path / "turned.nii.gz", np.ascontiguousarray(np.flip(labels, axis)), affine)
    with pytest.raises(UsageError) as caught:
        read_shapes(path)
    assert caught.value.code == "bad_anatomy"
    assert caught.value.file == str(path)


def test_a_map_with_a_gap_or_without_a_neck_is_refused(
    label_map: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    labels, affine = label_map
    for name, wrong in (
        ("gap", np.where(labels == LABEL_OF["C4"], 0, labels)),
        ("empty", np.zeros_like(labels)),
        ("flat", labels[..., None]),
    ):
        with pytest.raises(UsageError) as caught:
            read_shapes(_save(tmp_path / f"{name}.nii.gz", wrong, affine))
        assert caught.value.code == "bad_anatomy"


def test_files_that_are_no_label_map_are_refused(
    label_map: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    whole = _save(tmp_path / "whole.nii.gz", *label_map).read_bytes()
    (tmp_path / "short.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii.gz").write_text("no image")
    for name in ("short.nii.gz", "text.nii.gz", "absent.nii.gz"):
        with pytest.raises(UsageError) as caught:
            read_shapes(tmp_path / name)
        assert caught.value.code == "bad_anatomy"


@pytest.mark.slow
@pytest.mark.skipif(not ARTISYNTH.exists(), reason="the label maps of real anatomy are not here")
def test_real_anatomy_is_read() -> None:
    found = read_shapes(ARTISYNTH)
    assert list(found) == list(LEVELS)
    inside = {level: shape.distance(torch.zeros(3, 1)) for level, shape in found.items()}
    assert all(float(inside[level]) < 0 for level in LEVELS[1:])
