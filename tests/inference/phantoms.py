"""Spines of plain boxes whose truth is known, and networks that need no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from cspine_zoo.anatomy import CLASSES, THORACIC
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.inference.body import body_box
from cspine_zoo.models.registry import build
from cspine_zoo.preprocess.spec import Preprocess, Window
from cspine_zoo.zoo.manifest import (
    Architecture,
    Calibration,
    Licence,
    ManifestEntry,
    OperatingPoint,
)
from cspine_zoo.zoo.model import ZooModel

PITCH_MM = 17.0
TOP_MM = 160.0


@dataclass(frozen=True)
class Block:
    """A box-shaped vertebra: centre and size in world mm."""

    label: int
    centre_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float] = (44.0, 36.0, 13.0)


def spine(labels: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 8), *, tilt: float = 0.15) -> list[Block]:
    """A column from the top down, leaning forward by ``tilt`` mm a mm; one level each pitch."""
    return [
        Block(label, (3.0, -tilt * PITCH_MM * place, TOP_MM - PITCH_MM * place))
        for place, label in enumerate(labels)
    ]


def grid(
    spacing_mm: Sequence[float] = (2.0, 2.0, 2.0),
    low_mm: Sequence[float] = (-60.0, -70.0, 0.0),
    high_mm: Sequence[float] = (60.0, 70.0, 190.0),
) -> Geometry:
    spacing = np.asarray(spacing_mm)
    shape = np.rint((np.asarray(high_mm) - low_mm) / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.asarray(low_mm) + spacing / 2
    return Geometry(tuple(shape), affine)


def paint(blocks: Sequence[Block], geometry: Geometry) -> np.ndarray:
    """Label volume of the blocks; later ones cover earlier ones."""
    labels = np.zeros(geometry.shape, np.uint8)
    for block in blocks:
        low = geometry.to_voxel(np.subtract(block.centre_mm, np.divide(block.size_mm, 2)))
        high = geometry.to_voxel(np.add(block.centre_mm, np.divide(block.size_mm, 2)))
        box = tuple(
            slice(max(int(np.ceil(a)), 0), max(int(np.ceil(b)), 0))
            for a, b in zip(low, high, strict=True)
        )
        labels[box] = block.label
    return labels


def ct_of(labels: np.ndarray, geometry: Geometry) -> CTVolume:
    """Bone of 600 HU with some texture in a cylinder of soft tissue in air."""
    x, y, z = np.moveaxis(geometry.to_world(np.moveaxis(np.indices(geometry.shape), 0, -1)), -1, 0)
    hu = np.where((x / 50) ** 2 + (y / 60) ** 2 < 1, 40, -1000).astype(np.float32)
    hu[labels > 0] = 600
    hu += 20 * np.sin(x / 3) * np.cos(y / 4) * np.sin(z / 5)
    return CTVolume(np.ascontiguousarray(hu, np.float32), geometry)


class PaintedSegmenter(nn.Module):
    """Calls bone whatever is bright, and names it by the label volume that it was given."""

    def __init__(self, labels: np.ndarray) -> None:
        super().__init__()
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.divisors = (16, 16, 16)
        self.largest_block = 2_000_000

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        names = torch.zeros(volume.shape[2:], dtype=torch.int64)
        i, j, k = self.labels.shape
        names[:i, :j, :k] = self.labels
        own = nn.functional.one_hot(names, 10).permute(3, 0, 1, 2)[None].bool()
        # -0.1 in the window is 310 HU: halfway from soft tissue to bone.
        logits = torch.where(own, self.scale * (volume + 0.1), -50.0)
        logits[:, 0] = 0
        return logits


SEGMENTER_PREPROCESS = Preprocess(
    orientation="RAS",
    spacing_mm=(3.0, 3.0, 3.0),
    window=Window(400, 1800),
    crop_mm=None,
    size_px=None,
    n_slices=None,
    neighbour_mm=None,
    channels=("slice",),
)
CROP_PREPROCESS = Preprocess(
    orientation="RAS",
    spacing_mm=None,
    window=Window(400, 1800),
    crop_mm=(80.0, 80.0),
    size_px=32,
    n_slices=4,
    neighbour_mm=1.5,
    channels=("previous", "slice", "next", "mask"),
)


def entry(name: str, preprocess: Preprocess, **changes: object) -> ManifestEntry:
    """A row for a network of the tests."""
    values: dict[str, object] = {
        "name": name,
        "task": "vertebra-segmentation",
        "architecture": Architecture("unet3d", {}),
        "parameters": 1,
        "preprocess": preprocess,
        "labels": CLASSES,
        "segmenter": None,
        "calibration": None,
        "operating_point": None,
        "files": (),
        "licence": Licence("MIT", "MIT", "none"),
        "training_data": "none",
        "metrics": (),
        "golden": None,
        "intended_use": "tests",
        "limitations": ("untrained",),
        "citation": "",
    }
    return ManifestEntry(**{**values, **changes})  # type: ignore[arg-type]


def painted_segmenter(ct: CTVolume, blocks: Sequence[Block], name: str = "seg-painted") -> ZooModel:
    """A segmenter for this study that names its bone as ``blocks`` say."""
    box = body_box(ct)
    assert box is not None
    body = ct.geometry.cropped([s.start for s in box], [s.stop - s.start for s in box])
    wider = [replace(b, size_mm=tuple(mm + 3.0 for mm in b.size_mm)) for b in blocks]
    names = paint(wider, body.with_spacing(SEGMENTER_PREPROCESS.spacing_mm or ()))
    return ZooModel(PaintedSegmenter(names), entry(name, SEGMENTER_PREPROCESS), "random")


def classifier(
    name: str,
    *,
    sequence: str | None = "gru",
    segmenter: str = "seg-painted",
    seed: int = 0,
    patient: str | None = None,
) -> ZooModel:
    """A real classifier with untrained weights, as small as they come; of spines with a rule."""
    arguments = {
        "backbone": "test_efficientnet",
        "in_channels": 4,
        "features": 16,
        "sequence": sequence,
        "hidden": 8,
        "pooling": "mean" if sequence is None else "attention",
    }
    architecture = "slice-classifier"
    if patient is not None:
        architecture = "spine-classifier"
        arguments["patient"] = patient
    torch.manual_seed(seed)
    network = build(architecture, arguments)
    row = entry(
        name,
        CROP_PREPROCESS,
        task="fracture-classification",
        architecture=Architecture(architecture, arguments),
        parameters=sum(p.numel() for p in network.parameters()),
        segmenter=segmenter,
        calibration=Calibration("temperature", 2.0, "nothing"),
        operating_point=OperatingPoint(0.6, 0.4, "nothing"),
    )
    return ZooModel(network, row, "random")


__all__ = [
    "THORACIC",
    "Block",
    "classifier",
    "ct_of",
    "grid",
    "paint",
    "painted_segmenter",
    "spine",
]
