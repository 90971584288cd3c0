import io
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cspine_zoo import LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from marks import crosshair_lines
from plane import SIDE_PX, Box, Plane, View
from pointing import neck_box
from tests.demo.neck import SHAPE, centre_mm, comparison, geometry, neck, prediction
from viewer import PICTURE_BYTES, Look, Strip, plane_jpeg, strip_jpeg, windowed

BARE = Look(opacity=0)
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")


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
    ct = corner_volume()
    view = View(plane, ct.geometry, (17, 20, 13))
    picture = pixels(plane_jpeg(ct, None, view, BARE)).mean(axis=2)
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
    bright = pixels(plane_jpeg(ct, None, View(plane, grid, (i, j, k)), BARE)).mean(axis=2) > 100
    bright[:60] = bright[-60:] = bright[:, :60] = bright[:, -60:] = False  # letters
    width, height = bright.any(axis=0).sum(), bright.any(axis=1).sum()
    assert width == pytest.approx(height, rel=0.12)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("near", [None, ((2, 16), (5, 20), (1, 12))])
def test_the_crosshair_crosses_at_the_voxel_it_names(plane: Plane, near: Box | None) -> None:
    """One bright voxel: where it is seen is where the lines would meet."""
    at = (6, 17, 4)
    hu = np.full((20, 24, 16), -1000, dtype=np.float32)
    hu[at] = 3000
    grid = Geometry(hu.shape, np.diag([0.8, 1.0, 1.5, 1.0]))
    view = View(plane, grid, at, near)
    picture = pixels(plane_jpeg(CTVolume(hu, grid), None, view, BARE)).mean(axis=2)
    picture[:40] = picture[-40:] = picture[:, :40] = picture[:, -40:] = 0  # letters
    weight = np.where(picture > 60, picture, 0)
    row, column = np.indices(weight.shape) + 0.5
    seen = np.array([(column * weight).sum(), (row * weight).sum()]) / weight.sum()
    assert view.to_px(at) == pytest.approx(seen, abs=1.5)
    assert view.to_voxel(view.to_px(at)) == pytest.approx(at)


def test_the_lines_of_the_crosshair_leave_its_point_free() -> None:
    view = View("axial", Geometry((20, 24, 16), np.eye(4)), (4, 18, 3))
    lines = re.findall(
        r'class="(\w+)" style="left:([\d.]+)%;top:([\d.]+)%;\w+:([\d.]+)%', crosshair_lines(view)
    )
    x, y = view.to_px((4, 18, 3)) * 100 / SIDE_PX
    across = [(float(a), float(a) + float(n)) for way, a, b, n in lines if way == "across"]
    down = [(float(b), float(b) + float(n)) for way, a, b, n in lines if way == "down"]
    assert {b for way, a, b, n in lines if way == "across"} == {f"{y:.2f}"}
    assert {a for way, a, b, n in lines if way == "down"} == {f"{x:.2f}"}
    for (start, stop), (again, end), middle in ((*across, x), (*down, y)):
        assert start < stop < middle < again < end
        assert middle - stop == pytest.approx(again - middle, abs=0.02)


def test_the_overlay_colours_bone_and_nothing_else() -> None:
    ct, label_map = neck()
    at = ct.geometry.to_voxel(centre_mm("C4")).round().astype(int)
    place = (int(at[0]), int(at[1]), int(at[2]))
    view = View("axial", ct.geometry, place)
    picture = pixels(plane_jpeg(ct, label_map.labels, view, Look(opacity=0.8)))
    colourful = (picture.max(axis=2) - picture.min(axis=2)) > 40
    share = float((label_map.labels[:, :, place[2]] > 0).mean()) * SHAPE[0] / SHAPE[1]
    assert colourful.mean() == pytest.approx(share, rel=0.25)


def test_the_strip_follows_a_neck_that_leans() -> None:
    """A flat plane would cut the outer vertebrae near their ends; this one is always central."""
    ct, label_map = neck()
    path = [centre_mm(level) for level in ("C1", "C4", "C7")]
    strip = Strip(path, path[-1][2] - 12, path[0][2] + 12)
    plain = pixels(strip_jpeg(ct, None, strip, Look()))
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


def test_a_slice_is_small_however_noisy() -> None:
    """Noise in every pixel is the worst case for JPEG: real slices weigh less."""
    noise = np.random.default_rng(0).normal(0, 40, (512, 512, 3)).astype(np.float32)
    ct = CTVolume(noise, Geometry(noise.shape, np.diag([0.4, 0.4, 2.0, 1.0])))
    view = View("axial", ct.geometry, (256, 256, 1))
    assert len(plane_jpeg(ct, None, view, Look())) <= PICTURE_BYTES


def test_a_box_enlarges_what_it_holds_and_follows_the_crosshair() -> None:
    ct, label_map = neck()
    box = ((20, 44), (24, 48), (30, 66))
    look, at = Look(opacity=0.9), (32, 36, 48)
    whole = View("axial", ct.geometry, at)
    near = View("axial", ct.geometry, at, box)
    pictures = [pixels(plane_jpeg(ct, label_map.labels, view, look)) for view in (whole, near)]
    assert pictures[1].mean() > pictures[0].mean()  # less air
    assert near.box == box
    assert View("axial", ct.geometry, (2, 36, 90), box).box == ((2, 44), (24, 48), (30, 91))


def test_the_neck_lies_in_its_box() -> None:
    ct, label_map = neck()
    box = neck_box(comparison(), ct.geometry)
    assert box is not None
    for (start, stop), used in zip(box, np.nonzero(label_map.labels), strict=True):
        assert start <= used.min()
        assert used.max() < stop
    assert neck_box(comparison([prediction("a", dict.fromkeys(LEVELS), None)]), geometry()) is None
