"""The map lies where the score comes from, on its side, and asking for it changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cspine_zoo import CSpineZooError, UsageError, grad_cam
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.inference.classify import Crops, spine_images, vertebra_images
from cspine_zoo.inference.extent import level_extents
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.results import LabelMap, SensitivityMap, StudyPrediction, StudySummary
from cspine_zoo.zoo.manifest import Architecture, Calibration, ManifestEntry, OperatingPoint
from cspine_zoo.zoo.model import ZooModel
from tests.inference.phantoms import CROP_PREPROCESS, Block, ct_of, entry, grid, paint, spine
from tests.models.cases import CLASSIFIERS, PUBLISHED_CLASSIFIERS, SPINES, Case

FINE = replace(CROP_PREPROCESS, size_px=64, n_slices=8)
GRID = grid((2.0, 2.0, 2.0))
BLOCKS = [block for block in spine() if block.label != 2]
"""C2 is out of view."""
C4 = spine()[3]
MARK = Block(1, tuple(np.add(C4.centre_mm, (14.0, -10.0, 3.0))), (8.0, 6.0, 4.0))  # type: ignore[arg-type]
"""Right, behind and above the middle of C4."""
LABELS = paint(BLOCKS, GRID)
CELL_MM = 5.0


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """These networks are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ct() -> CTVolume:
    volume = ct_of(LABELS, GRID)
    volume.hu[paint([MARK], GRID) > 0] = 2000
    return volume


def result(geometry: Geometry = GRID, labels: np.ndarray | None = LABELS) -> StudyPrediction:
    study = StudySummary(geometry.shape, geometry.spacing_mm, "RAS", geometry.shape[2])
    return StudyPrediction(study, (), None if labels is None else LabelMap(labels, geometry))


class Spots(nn.Module):
    """A backbone of two features: bright spots, and the bone around them, in cells of 4 pixels."""

    def forward_intermediates(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        bone = images[:, 1:2]
        fine = torch.cat([(bone - 0.78).relu(), (bone > 0) * (0.5 - bone).relu()], dim=1)
        coarse = nn.functional.avg_pool2d(fine, 4)
        return coarse, [fine]

    def forward_head(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_intermediates(images)[0])


def spotter(head: tuple[float, float], pooling: str = "mean") -> ZooModel:
    """A classifier whose answer is ``head`` times its two features, pooled over the slices."""
    network = SliceClassifier(
        backbone="test_resnet", in_channels=4, features=2, sequence=None, hidden=1,
        pooling=pooling, top_k=1,
    )  # fmt: skip
    network.encoder.backbone = Spots()
    network.encoder.project = nn.Identity()
    assert isinstance(network.head, nn.Linear)
    network.head.weight = nn.Parameter(torch.tensor([head]))
    return ZooModel(network, _row("cls-spots", FINE), "random")


def _row(name: str, preprocess: Preprocess, **changes: object) -> ManifestEntry:
    return entry(
        name,
        preprocess,
        task="fracture-classification",
        segmenter="seg-painted",
        calibration=Calibration("temperature", 2.0, "nothing"),
        operating_point=OperatingPoint(0.6, 0.4, "nothing"),
        **changes,
    )


def value_at(found: SensitivityMap, world_mm: tuple[float, ...]) -> float:
    column, row, place = np.rint(found.geometry.to_voxel(world_mm)).astype(int)
    return float(found.values[place, row, column])


def test_the_map_peaks_at_the_mark_that_the_network_looks_for(ct: CTVolume) -> None:
    found = grad_cam(ct, result(), spotter((1.0, -1.0)), "C4", device="cpu")
    assert (found.level, found.model) == ("C4", "cls-spots")
    assert found.values.shape == (8, 64, 64)
    assert found.values.dtype == np.float32
    assert found.cell_mm == pytest.approx((CELL_MM, CELL_MM))
    place, row, column = np.unravel_index(found.values.argmax(), found.values.shape)
    peak = found.geometry.to_world([column, row, place])
    np.testing.assert_array_less(np.abs(peak - MARK.centre_mm), (CELL_MM, CELL_MM, 2.5))
    x, y, z = MARK.centre_mm
    assert value_at(found, (x, y, z)) > 0.5
    left = (2 * C4.centre_mm[0] - x, y, z)
    below = (x, y, 2 * C4.centre_mm[2] - z)
    assert value_at(found, left) == value_at(found, below) == 0.0


def test_what_lowers_the_score_is_not_on_the_map(ct: CTVolume) -> None:
    """The same network turned round is sensitive to whole bone, and nowhere to the mark."""
    found = grad_cam(ct, result(), spotter((-1.0, 1.0)), "C4", device="cpu")
    assert found.values.max() == pytest.approx(1.0)
    assert value_at(found, MARK.centre_mm) < 0.1
    assert value_at(found, (2 * C4.centre_mm[0] - MARK.centre_mm[0], *MARK.centre_mm[1:])) > 0.5
    nothing = grad_cam(ct, result(), spotter((-1.0, -1.0)), "C4", device="cpu")
    assert not nothing.values.any()


def test_slices_without_weight_are_cold(ct: CTVolume) -> None:
    found = grad_cam(ct, result(), spotter((1.0, 1.0), "top-k"), "C4", device="cpu")
    assert np.count_nonzero(found.values.any(axis=(1, 2))) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turned_study_has_the_peak_where_it_was_turned_to(ct: CTVolume, axis: int) -> None:
    angle, (one, other) = np.deg2rad(20), [a for a in range(3) if a != axis]
    turn = np.eye(4)
    turn[[one, one, other, other], [one, other, one, other]] = (
        np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
    )  # fmt: skip
    geometry = Geometry(GRID.shape, turn @ GRID.affine)
    turned = CTVolume(ct.hu, geometry)
    found = grad_cam(turned, result(geometry), spotter((1.0, -1.0)), "C4", device="cpu")
    place, row, column = np.unravel_index(found.values.argmax(), found.values.shape)
    peak = found.geometry.to_world([column, row, place])
    assert np.linalg.norm(peak - turn[:3, :3] @ MARK.centre_mm) < 6.0


def zoo_model(case: Case) -> ZooModel:
    architecture = Architecture(case.architecture, case.arguments)
    row = _row(f"cls-{case.name.lower()}", CROP_PREPROCESS, architecture=architecture)
    return ZooModel(copy.deepcopy(case.network()), row, "random")


def textbook(model: ZooModel, images: Tensor, present: Tensor | None) -> Tensor:
    """The formula of the paper with the whole graph at once, for the last vertebra of a batch."""
    network = model.network
    assert isinstance(network, SliceClassifier)
    kept: list[Tensor] = []
    backbone = network.encoder.backbone
    # 32 px: stages of 16, 8 and fewer cells; the second is the last with seven.
    stage = backbone.layer1 if hasattr(backbone, "layer1") else backbone.blocks[1]

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)

    hook = stage.register_forward_hook(keep)
    seen = images.clone().requires_grad_()
    output = network(seen) if present is None else network(seen, present)
    hook.remove()
    logit = output.logit[0] if present is None else output.logit[0, -1]
    (slope,) = torch.autograd.grad(logit, kept[-1])
    heat = (slope.mean(dim=(2, 3), keepdim=True) * kept[-1]).sum(dim=1).relu()
    return heat.detach()


QUICK = [*PUBLISHED_CLASSIFIERS, SPINES[0]]
SLOW = [case for case in CLASSIFIERS if case.name in ("None-top-k", "gru-mean", "lstm-attention")]


@pytest.mark.parametrize(
    "case",
    [*QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in (*SLOW, SPINES[1]))],
    ids=lambda case: case.name,
)
def test_every_classifier_gives_the_map_of_the_paper_and_stays_as_it_was(
    ct: CTVolume, case: Case
) -> None:
    model = zoo_model(case)
    before = copy.deepcopy(model.state_dict())
    batch = case.batch()
    with torch.inference_mode():
        first = model(batch).logit
    found = grad_cam(ct, result(), model, "C7", device="cpu")
    with torch.inference_mode():
        again = model(batch).logit
    assert torch.equal(first, again)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    assert found.values.shape == (4, 32, 32)
    heat = _textbook_of(ct, model)
    expected = heat / heat.max().clamp(min=1e-30)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=2e-4)


def _textbook_of(ct: CTVolume, model: ZooModel) -> Tensor:
    label_map = LabelMap(LABELS, GRID)
    levels, crops = level_extents(label_map), Crops(ct, label_map)
    device = torch.device("cpu")
    if isinstance(model.network, SpineClassifier):
        cut = {e.level: crops.of(e, CROP_PREPROCESS) for e in levels if e.found}
        spine_batch, present = spine_images(levels, cut, device)
        heat = textbook(model, spine_batch[None], present)
    else:
        images = vertebra_images(crops.of(levels[6], CROP_PREPROCESS), device)
        heat = textbook(model, images[None], None)
    return nn.functional.interpolate(heat[:, None], (32, 32), mode="bilinear")[:, 0]


def test_what_cannot_be_mapped_is_refused(ct: CTVolume) -> None:
    model = spotter((1.0, -1.0))
    other = Geometry(GRID.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    for code, bad, level in (
        ("unknown_level", result(), "T1"),
        ("level_not_found", result(), "C2"),
        ("no_label_map", result(labels=None), "C4"),
        ("no_label_map", "C4", "C4"),
        ("other_study", result(other), "C4"),
    ):
        with pytest.raises(UsageError) as caught:
            grad_cam(ct, bad, model, level)  # type: ignore[arg-type]
        assert caught.value.code == code
    with pytest.raises(CSpineZooError) as lost:
        grad_cam(ct, result(), spotter((float("nan"), 1.0)), "C4", device="cpu")
    assert lost.value.code == "not_finite"
