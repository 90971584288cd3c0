import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cspine_zoo import LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from pointing import neck_box
from tests.demo.neck import SHAPE, centre_mm, comparison, geometry, neck, prediction
from viewer import Look, Plane, Strip, plane_jpeg, strip_jpeg, windowed

BARE = Look(crosshair=False, opacity=0)


def pixels(jpeg: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(np.int64)


def corner_volume() -> CTVolume:
    """Air with one bright corner: to the right, in front and at the top of the patient."""
    hu = np.full((20, 24, 16), -1000, dtype=np.float32)
    hu[14:, 17:, 11:] = 3000
    return CTVolume(hu, Geometry((20, 24, 16), np.diag([1.0, 1.0, 1.5, 1.0])))


@pytest.mark.parametrize(
    ("plane", "bright"),
    [
        ("axial", "upper left"),  # right on the left, anterior on top
        ("coronal", "upper left"),  # right on the left, head on top
        ("sagittal", "upper left"),  # anterior on the left, head on top
    ],
)
def test_planes_are_radiological(plane: Plane, bright: str) -> None:
    picture = pixels(plane_jpeg(corner_volume(), None, plane, (17, 20, 13), BARE)).mean(axis=2)
    half = picture.shape[0] // 2
    quarters = {
        "upper left": picture[:half, :half].mean(),
        "upper right": picture[:half, half:].mean(),
        "lower left": picture[half:, :half].mean(),
        "lower right": picture[half:, half:].mean(),
    }
    assert max(quarters, key=lambda name: quarters[name]) == bright


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 3.0), (1.0, 2.0, 0.7)])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_ball_stays_round_whatever_the_spacing(
    plane: Plane, spacing: tuple[float, float, float]
) -> None:
    shape = tuple(int(60 / mm) for mm in spacing)
    assert len(shape) == 3
    grid = Geometry(shape, np.diag([*spacing, 1.0]))
    middle = grid.to_world((np.array(shape) - 1) / 2)
    world = grid.to_world(np.moveaxis(np.indices(shape), 0, -1).astype(np.float64))
    inside = ((world - middle) ** 2).sum(axis=-1) < 18**2
    ct = CTVolume(np.where(inside, 1500, -1000).astype(np.float32), grid)
    i, j, k = (size // 2 for size in shape)
    bright = pixels(plane_jpeg(ct, None, plane, (i, j, k), BARE)).mean(axis=2) > 100
    bright[:60] = bright[-60:] = bright[:, :60] = bright[:, -60:] = False  # letters
    width, height = bright.any(axis=0).sum(), bright.any(axis=1).sum()
    assert width == pytest.approx(height, rel=0.12)


def test_the_crosshair_crosses_at_the_voxel_it_names() -> None:
    ct = corner_volume()
    at = (4, 18, 3)
    plain = pixels(plane_jpeg(ct, None, "axial", at, BARE))
    lined = pixels(plane_jpeg(ct, None, "axial", at, Look(opacity=0)))
    changed = np.abs(lined - plain).sum(axis=2) > 150
    column = int(np.argmax(changed.sum(axis=0)))
    row = int(np.argmax(changed.sum(axis=1)))
    scale = 512 / 24
    assert column == pytest.approx((20 - 0.5 - 4) * scale + (512 - 20 * scale) / 2, abs=2)
    assert row == pytest.approx((24 - 0.5 - 18) * scale, abs=2)


def test_the_overlay_colours_bone_and_nothing_else() -> None:
    ct, label_map = neck()
    at = ct.geometry.to_voxel(centre_mm("C4")).round().astype(int)
    place = (int(at[0]), int(at[1]), int(at[2]))
    picture = pixels(
        plane_jpeg(ct, label_map.labels, "axial", place, Look(opacity=0.8, crosshair=False))
    )
    colourful = (picture.max(axis=2) - picture.min(axis=2)) > 40
    share = float((label_map.labels[:, :, place[2]] > 0).mean()) * SHAPE[0] / SHAPE[1]
    assert colourful.mean() == pytest.approx(share, rel=0.25)


def test_the_strip_follows_a_neck_that_leans() -> None:
    """A flat plane would cut the outer vertebrae near their ends; this one is always central."""
    ct, label_map = neck()
    path = [centre_mm(level) for level in ("C1", "C4", "C7")]
    strip = Strip(path, path[-1][2] - 12, path[0][2] + 12)
    plain = pixels(strip_jpeg(ct, None, strip, Look(crosshair=False)))
    overlaid = pixels(strip_jpeg(ct, label_map.labels, strip, Look(opacity=0.9)))
    for level in ("C1", "C4", "C7"):
        row = int((strip.top_mm - centre_mm(level)[2]) / 0.4)
        marked = np.abs(overlaid[row] - plain[row]).sum(axis=1) > 60
        assert marked.sum() * 0.4 == pytest.approx(30, abs=4)


def test_the_strip_is_black_outside_the_scan() -> None:
    ct, _ = neck()
    strip = Strip([centre_mm("C1")], 200.0, 260.0)
    assert pixels(strip_jpeg(ct, None, strip, BARE)).max() < 8


@pytest.mark.parametrize(
    ("window", "dark", "bright"), [("Bone", -500.0, 1300.0), ("Soft tissue", -160.0, 240.0)]
)
def test_windows_span_their_width(window: str, dark: float, bright: float) -> None:
    grey = windowed(np.array([[dark, bright]], dtype=np.float32), window)
    assert grey.tolist() == [[0, 255]]


def test_a_slice_weighs_less_than_40_kib() -> None:
    """Noise is the worst case for JPEG: real slices weigh less."""
    noise = np.random.default_rng(0).normal(0, 60, (96, 96, 20)).astype(np.float32)
    ct = CTVolume(noise, Geometry((96, 96, 20), np.diag([1.0, 1.0, 2.0, 1.0])))
    assert len(plane_jpeg(ct, None, "axial", (48, 48, 10), Look())) < 40 * 1024


def test_a_box_enlarges_what_it_holds_and_follows_the_crosshair() -> None:
    ct, label_map = neck()
    at = (32, 36, 48)
    box = ((20, 44), (24, 48), (30, 66))
    look = Look(opacity=0.9, crosshair=False)
    whole = pixels(plane_jpeg(ct, label_map.labels, "axial", at, look))
    near = pixels(plane_jpeg(ct, label_map.labels, "axial", at, replace(look, box=box)))
    assert near.mean() > whole.mean()  # less air
    outside = (2, 36, 48)
    plain = pixels(plane_jpeg(ct, None, "axial", outside, replace(look, opacity=0, box=box)))
    lined = pixels(plane_jpeg(ct, None, "axial", outside, Look(opacity=0, crosshair=True, box=box)))
    column = int(np.argmax((np.abs(lined - plain).sum(axis=2) > 150).sum(axis=0)))
    scale = 512 / (44 - 2)
    assert column == pytest.approx((44 - 0.5 - 2) * scale, abs=2)


def test_the_neck_lies_in_its_box() -> None:
    ct, label_map = neck()
    box = neck_box(comparison(), ct.geometry)
    assert box is not None
    for (start, stop), used in zip(box, np.nonzero(label_map.labels), strict=True):
        assert start <= used.min()
        assert used.max() < stop
    assert neck_box(comparison([prediction("a", dict.fromkeys(LEVELS), None)]), geometry()) is None
