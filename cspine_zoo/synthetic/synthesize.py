"""Sets of synthetic studies on disk, by seed and preset, with their truth."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
import torch

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.errors import UsageError
from cspine_zoo.rsna.uids import deterministic_uid
from cspine_zoo.rsna.write import StudyToWrite, write_study, written_uids
from cspine_zoo.synthetic.families import ALL, SECOND
from cspine_zoo.synthetic.label_shapes import read_shapes
from cspine_zoo.synthetic.patches import Anatomy
from cspine_zoo.synthetic.preview import write_preview
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.study import StudyPreset, SyntheticStudy, draw_twins

LOG: Final = logging.getLogger(__name__)

_VARIED: Final = StudyPreset(
    pixel_mm=(0.6, 0.9),
    slice_mm=(0.8, 2.0),
    field_mm=(120.0, 200.0),
    above_mm=(0.0, 60.0),
    below_mm=(-10.0, 50.0),
    aside_mm=10.0,
    families=SECOND,
)

PRESETS: Final[Mapping[str, StudyPreset]] = {
    "study": StudyPreset(),
    "validation": StudyPreset(),
    "held-out": StudyPreset(),
    "thin": StudyPreset(pixel_mm=(0.35, 0.55), slice_mm=(0.6, 1.0)),
    "sample": StudyPreset(
        pixel_mm=(0.7, 0.7), slice_mm=(1.2, 1.2), field_mm=(150.0, 150.0), families=SECOND
    ),
    "tiny": StudyPreset(
        pixel_mm=(3.0, 4.0),
        slice_mm=(3.0, 4.0),
        field_mm=(120.0, 130.0),
        above_mm=(8.0, 12.0),
        below_mm=(8.0, 12.0),
    ),
    "wide": StudyPreset(
        pixel_mm=(0.8, 1.2),
        slice_mm=(1.2, 2.5),
        field_mm=(120.0, 320.0),
        length_mm=(60.0, 220.0),
        aside_mm=15.0,
        families=ALL,
    ),
    "train": replace(_VARIED, families=ALL),
    "tune": _VARIED,
    "challenge": replace(
        _VARIED,
        pixel_mm=(0.45, 0.8),
        slice_mm=(0.5, 3.0),
        field_mm=(120.0, 180.0),
        above_mm=(-20.0, 80.0),
        below_mm=(-20.0, 50.0),
    ),
    "no-neck": StudyPreset(
        pixel_mm=(0.8, 1.2),
        slice_mm=(1.2, 2.5),
        field_mm=(180.0, 320.0),
        no_neck_share=1.0,
        families=ALL,
    ),
}
"""Seeds of different presets never meet: the preset's name is part of every seed.

``tiny`` has voxels too coarse to see a fracture in: it is for trying things out in seconds.
``wide`` is cut anywhere between vault and chest; ``no-neck`` shows nothing of C1-C7.
``tune`` (for calibration) and ``challenge`` (held out, frozen) take the families of the day when
they were frozen, ``train`` takes all there are.
"""

FRACTURED_SHARE: Final = 0.476
"""Share of fractured studies in RSNA 2022's training set."""


@dataclass(frozen=True)
class Order:
    """A set of studies to make.

    Attributes:
        out: directory; studies that are complete in it are kept.
        count: studies in all; twins count.
        seed: of the set.
        preset: name in ``PRESETS``.
        layout: ``"rsna"`` or ``"nifti"``.
        anatomies: label maps whose vertebra shapes are mixed in.
        twins: whether each study comes fractured and whole.
        preview: contact sheet to write, PNG.
    """

    out: Path
    count: int
    seed: int = 0
    preset: str = "study"
    layout: str = "rsna"
    anatomies: Sequence[Path] = ()
    twins: bool = False
    preview: Path | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                "unknown_preset", f"no preset {self.preset!r}", hint=f"Known: {', '.join(PRESETS)}."
            )
        if self.layout not in ("rsna", "nifti"):
            raise UsageError("unknown_format", f"format is rsna or nifti, not {self.layout!r}")
        if self.count < 1:
            raise UsageError("bad_count", f"cannot make {self.count} studies")
        if self.seed < 0:
            raise UsageError("bad_seed", f"a seed is 0 or more, not {self.seed}")


def synthesize(order: Order, *, workers: int | None = None) -> list[str]:
    """Make a set of studies; an interrupted set goes on where it stopped.

    Args:
        order: what to make.
        workers: processes; without it one a core.

    Returns:
        UIDs (rsna) or file stems (nifti) in order.

    Raises:
        UsageError: an anatomy cannot be used.
    """
    anatomies = [read_shapes(path) for path in order.anatomies]
    order.out.mkdir(parents=True, exist_ok=True)
    scenes = range(-(-order.count // 2) if order.twins else order.count)
    job = partial(_make, order, anatomies)
    workers = min(workers or os.cpu_count() or 1, len(scenes))
    names: list[str] = []
    if workers == 1:
        for scene in scenes:
            names += job(scene)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for scene, made in enumerate(pool.map(job, scenes)):
                names += made
                LOG.info("%d of %d scenes", scene + 1, len(scenes))
    if order.preview:
        first = [
            draw_twins(scene_seed(order, scene), PRESETS[order.preset], anatomies)[0]
            for scene in scenes[:6]
        ]
        order.preview.parent.mkdir(parents=True, exist_ok=True)
        write_preview(first, order.preview)
    return names


def scene_seed(order: Order, scene: int) -> int:
    """Seed of one patient of a set: its own for each preset, seed of the set and number."""
    return int(stream(order.seed, order.preset, scene).integers(2**62))


def _make(order: Order, anatomies: Sequence[Anatomy], scene: int) -> list[str]:
    torch.set_num_threads(1)
    seed = scene_seed(order, scene)
    names = [_name(order, scene, state) for state in ("fractured", "whole")]
    wanted = _wanted(order, scene, seed)
    done = written_uids(order.out) if order.layout == "rsna" else _written_nifti(order.out)
    if all(names[state] in done for state in wanted):
        return [names[state] for state in wanted]
    twins = draw_twins(seed, PRESETS[order.preset], anatomies)
    for state in wanted:
        twin = names[1 - state] if len(wanted) == 2 else None
        study = StudyToWrite(
            uid=names[state],
            hu=twins[state].hu,
            geometry=twins[state].geometry,
            levels=twins[state].levels(),
            label_map=twins[state].labels,
            fracture_mask=_in_view(twins[state]),
            synthetic=_facts(order, twins[state], twin, seed),
        )
        if order.layout == "rsna":
            write_study(order.out, study)
        else:
            _write_nifti(order.out, study)
    return [names[state] for state in wanted]


def _wanted(order: Order, scene: int, seed: int) -> list[int]:
    """Which of the twins of a scene are written; an odd set ends with a fractured one alone."""
    if order.twins:
        return [0] if 2 * scene + 1 == order.count else [0, 1]
    return [0 if stream(seed, "fractured?").random() < FRACTURED_SHARE else 1]


def _name(order: Order, scene: int, state: str) -> str:
    return deterministic_uid("synthetic", order.preset, order.seed, scene, state)


def _in_view(study: SyntheticStudy) -> np.ndarray:
    """Fracture voxels of the levels that count as fractured."""
    flags = np.array([0, *study.levels().values(), 0], dtype=np.uint8)
    return np.asarray(study.fractures * flags[study.fractures])


def _facts(
    order: Order, study: SyntheticStudy, twin: str | None, seed: int
) -> dict[str, str | int | float | None]:
    return {
        "twin_of": twin,
        "anatomy": study.scene.anatomy,
        "seed": seed,
        "conspicuity": round(study.conspicuity, 2),
        "displacement_mm": round(study.displacement_mm(), 2),
        "thickness_mm": round(study.geometry.spacing_mm[2], 3),
        "noise_hu": round(study.acquisition.noise_hu, 1),
        "field_mm": round(study.geometry.shape[0] * study.geometry.spacing_mm[0], 1),
        "neck_in_view": round(sum(study.shares_in_view().values()) / len(LEVELS), 3),
        "families": " ".join(sorted(study.scene.families)),
    }


def _written_nifti(out: Path) -> frozenset[str]:
    return frozenset(
        path.name.removesuffix(".labels.nii.gz") for path in out.glob("*.labels.nii.gz")
    )


def _write_nifti(out: Path, study: StudyToWrite) -> None:
    affine = study.geometry.affine
    for array, suffix in (
        (study.hu.astype(np.int16), ".nii.gz"),
        (study.label_map, ".labels.nii.gz"),
    ):
        image = nibabel.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        draft = out / f".draft-{study.uid}{suffix}"
        nibabel.save(image, draft)
        draft.replace(out / f"{study.uid}{suffix}")  # a file that is there is whole
