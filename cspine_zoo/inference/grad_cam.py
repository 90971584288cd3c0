"""Where in a vertebra a classifier's score is sensitive: Grad-CAM over the slices of its crop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError, UsageError
from cspine_zoo.inference.classify import Crops, spine_images, vertebra_images
from cspine_zoo.inference.extent import LevelExtent, level_extents
from cspine_zoo.inference.loading import ModelLike, find_model, network_of
from cspine_zoo.inference.precision import FLOAT32, running
from cspine_zoo.inference.segment import Segmentation, check_volume
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.results import LabelMap, SensitivityMap, StudyPrediction

LEAST_CELLS: Final = 7
"""Cells along each side of a map. Maps in the paper have 14 (VGG-16) or 7 (ResNets) at 224 px;
where small crops leave the last stage fewer, the last one that still has as many is read."""


def grad_cam(
    ct: CTVolume,
    result: StudyPrediction | Segmentation,
    model: ModelLike,
    level: str,
    *,
    device: str = "auto",
) -> SensitivityMap:
    """Map where a classifier's score of one vertebra is sensitive to what the slices show.

    On every slice, features are weighted by the mean gradient of the vertebra's logit, through
    pooling and sequence, over the slice's pixels; what is left above 0 is the map. It shows where
    the score would rise, which is no proof of a fracture there, nor of sound reasoning. Computed
    in float32; the model stays as it is.

    Args:
        ct: from ``read_ct``.
        result: a prediction, comparison or segmentation of the same study: it says where the
            vertebra is.
        model: a classifier: name, ``.safetensors`` path or loaded model.
        level: a level that was found, such as ``"C5"``.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.

    Raises:
        UsageError: no such model, or one of another task or device; the result holds no label
            map (``no_label_map``) or is of another study (``other_study``); no such level
            (``unknown_level``), or it was not found (``level_not_found``).
        WeightsError: the model's weights cannot be had, or its network has no feature maps.
        CSpineZooError: ``not_finite``.

    References:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
        localization", ICCV 2017. Here the slices of a vertebra share one scale, so that they
        can be compared; see ``LEAST_CELLS`` for which feature map is read.
    """
    check_volume(ct)
    classifier = find_model(model, "fracture-classification", device)
    label_map = _label_map(ct, result)
    levels = level_extents(label_map)
    place = _place(levels, level)
    network = network_of(classifier, SliceClassifier, "scores no slices")
    crops = Crops(ct, label_map)
    crop = crops.of(levels[place], classifier.preprocess)
    if isinstance(network, SpineClassifier):
        cut = {e.level: crops.of(e, classifier.preprocess) for e in levels if e.found}
        spine, present = spine_images(levels, cut, classifier.device)
        images, slopes = spine[place], _spine_slopes(network, spine, present, place)
    else:
        images = vertebra_images(crop, classifier.device)
        slopes = _vertebra_slopes(network, images)
    heat, cells = _heat(network.encoder, images, slopes)
    if not torch.isfinite(heat).all():
        raise CSpineZooError(
            "not_finite",
            "The classifier's gradient is not a number.",
            file=classifier.entry.name,
            hint="Verify its weights: cspine-zoo verify " + classifier.entry.name,
        )
    columns_mm, rows_mm, _ = np.multiply(crop.geometry.spacing_mm, crop.geometry.shape)
    return SensitivityMap(
        level=level,
        model=classifier.entry.name,
        values=(heat / heat.max().clamp(min=torch.finfo(heat.dtype).tiny)).cpu().numpy(),
        geometry=crop.geometry,
        cell_mm=(float(columns_mm / cells[1]), float(rows_mm / cells[0])),
    )


def _label_map(ct: CTVolume, result: object) -> LabelMap:
    label_map = getattr(result, "label_map", None)
    if not isinstance(label_map, LabelMap):
        raise UsageError(
            "no_label_map",
            f"A result that says where the vertebrae are is needed, not {type(result).__name__}.",
            hint="Give what predict, compare or segment returned for this study.",
        )
    same = np.allclose(label_map.geometry.affine, ct.geometry.affine)
    if label_map.labels.shape != ct.geometry.shape or not same:
        raise UsageError(
            "other_study",
            "The result is not of this study: their grids differ.",
            hint="Give what predict, compare or segment returned for this study.",
        )
    return label_map


def _place(levels: Sequence[LevelExtent], level: str) -> int:
    if level not in LEVELS:
        raise UsageError(
            "unknown_level",
            f"There is no level {level!r}.",
            hint=f"Levels are {', '.join(LEVELS)}.",
        )
    place = LEVELS.index(level)
    if not levels[place].found:
        known = ", ".join(extent.level for extent in levels if extent.found)
        raise UsageError(
            "level_not_found",
            f"{level} was not found in this study.",
            hint=f"Found: {known}." if known else "",
        )
    return place


def _vertebra_slopes(network: SliceClassifier, images: Tensor) -> Tensor:
    """Gradient (S, F) of the logit for the encoder's features of images (S, C, H, W)."""
    with running(images.device, FLOAT32):
        seen: Tensor = network.encoder(images[None])
    with _differentiating():
        features = seen.clone().requires_grad_()  # what is computed without gradients has none
        (slopes,) = torch.autograd.grad(network.score(features).logit[0], features)
    return slopes[0]


def _spine_slopes(network: SpineClassifier, spine: Tensor, present: Tensor, place: int) -> Tensor:
    """The same for one vertebra of a spine (L, S, C, H, W), the others standing as they are."""
    with running(spine.device, FLOAT32):
        seen = torch.cat([network.encoder(spine[n : n + 1]) for n in range(len(spine))])
    with _differentiating():
        features = seen.clone().requires_grad_()
        logit = network.score(features[None], present).logit[0, place]
        (slopes,) = torch.autograd.grad(logit, features)
    return slopes[place]


def _heat(encoder: SliceEncoder, images: Tensor, slopes: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Heat (S, H, W) of images (S, C, H, W), at least 0, and its cells along rows and columns.

    Slice by slice, with the gradient for the slice's features at hand: memory stays that of one.
    """
    heat = []
    with _differentiating():
        for image, slope in zip(images.split(1), slopes.split(1), strict=True):
            features, maps = encoder.scales(image.clone().requires_grad_())
            wide = [seen for seen in maps if min(seen.shape[2:]) >= LEAST_CELLS]
            seen = wide[-1] if wide else maps[0]
            (gradient,) = torch.autograd.grad(features, seen, slope)
            weights = gradient.mean(dim=(2, 3), keepdim=True)
            heat.append((weights * seen).sum(dim=1, keepdim=True).relu().detach())
    coarse = torch.cat(heat)
    fine = torch.nn.functional.interpolate(coarse, images.shape[2:], mode="bilinear")
    return fine[:, 0], (coarse.shape[2], coarse.shape[3])


@contextmanager
def _differentiating() -> Iterator[None]:
    """Record what runs; cuDNN, which has no gradient of recurrent networks in eval mode, rests."""
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield
