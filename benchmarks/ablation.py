"""What groups of randomisation are worth: python -m benchmarks.ablation segmenter|classifier.

Each kind of patients trains the same network from the same start for the same number of steps;
what it then knows is asked of patients with every family, shaped by a label map that trained
nothing (``--held-out``), and of a real scan without fractures (``--real``), whose body centres
``--centres`` holds as ``{"body_centre_mm": {"C1": [x, y, z], ...}}``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import cspine_zoo as cz
from benchmarks.small_classifier import logits, small_preset, trained
from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.evaluation.vertebrae import score_vertebrae
from cspine_zoo.inference.segment import DEFAULT_SEGMENTER, segment
from cspine_zoo.preprocess.crops import vertebra_crop
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.synthetic import families as f
from cspine_zoo.synthetic.label_shapes import read_shapes
from cspine_zoo.synthetic.patches import Anatomy
from cspine_zoo.synthetic.study import StudyPreset, SyntheticStudy, draw_twins
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.records import quantised
from cspine_zoo.training.segmentation import SegmenterTask, SyntheticPatches, train_segmenter
from cspine_zoo.training.segmenter_presets import SEGMENTER
from cspine_zoo.training.start import read_start
from cspine_zoo.training.synthetic_crops import draw_vertebrae
from cspine_zoo.zoo.load import load_model
from cspine_zoo.zoo.model import ZooModel

ANATOMY = frozenset({f.PITCH, f.ATLAS, f.SHAPE, f.VIEW})
BONE = frozenset({f.BONE_TEXTURE, f.HARD_NEGATIVES, f.JOINTS})
ACQUISITION = f.ALL - ANATOMY - BONE
KINDS: Mapping[str, f.Families] = {
    "first generation": f.FIRST,
    "and anatomy": ANATOMY,
    "and bone": BONE,
    "and acquisition": ACQUISITION,
    "all but anatomy": f.ALL - ANATOMY,
    "all but bone": f.ALL - BONE,
    "all but acquisition": f.ALL - ACQUISITION,
    "all": f.ALL,
}
_HELD_OUT_SEED = 6_000_000
_CENTRE_WITHIN_MM = 4.0


@dataclass(frozen=True)
class Judges:
    """What every network is asked about."""

    shapes: Sequence[Anatomy]
    real: CTVolume | None
    centres_mm: Mapping[str, Sequence[float]]


def segmenters(judges: Judges, options: argparse.Namespace) -> None:
    """Go on from the bundled weights, and print overlap and names."""
    scans = [
        draw_twins(
            _HELD_OUT_SEED + number,
            StudyPreset((0.9, 0.9), (1.5, 2.0), label_map_share=1.0, families=f.ALL),
            judges.shapes,
        )[1]
        for number in range(options.held_out_patients)
    ]
    start = read_start(DEFAULT_SEGMENTER, SEGMENTER)
    grid = load_model(DEFAULT_SEGMENTER, "cpu").preprocess  # what the weights know
    if grid.spacing_mm is None:
        raise ValueError(f"{DEFAULT_SEGMENTER} says nothing of its spacing")
    print("patients learned from   Dice   named   real levels right")
    for name, families in chosen(options):
        preset = replace(
            SEGMENTER,
            steps=options.steps,
            learning_rate=5e-4,
            preprocess=grid,
            patches=replace(
                SEGMENTER.patches, spacing_mm=grid.spacing_mm, families=families, family_share=1.0
            ),
        )
        with tempfile.TemporaryDirectory() as folder:
            task = SegmenterTask(
                preset,
                SyntheticPatches(preset),
                out=Path(folder),
                start=start.weights,
                workers=0,
            )
            Devices(1).run(train_segmenter, task)
            model = load_model(DEFAULT_SEGMENTER, "cpu")
            model.network.load_state_dict(torch.load(task.result, weights_only=True))
        report_segmenter(name, model, scans, judges)


def report_segmenter(
    name: str, model: ZooModel, scans: Sequence[SyntheticStudy], judges: Judges
) -> None:
    """One line of the table."""
    dice, named = [], []
    for scan in scans:
        found = segment(CTVolume(scan.hu, scan.geometry), model)
        centroids = {
            level.level: level.centroid_mm
            for level in found.levels
            if level.centroid_mm is not None
        }
        scores = score_vertebrae(found.label_map.labels, scan.labels, scan.geometry, centroids)
        dice += [score.dice for score in scores.values()]
        named += [score.identified for score in scores.values() if score.identified is not None]
    right = "" if judges.real is None else f"{centres_right(model, judges)}"
    print(f"{name:22} {np.mean(dice):6.3f} {np.mean(named):7.3f}   {right}", flush=True)


def centres_right(model: ZooModel, judges: Judges) -> str:
    """How many body centres of the real scan lie within 4 mm of the mask of their level."""
    if judges.real is None:
        raise ValueError("there is no real scan to ask about")
    found = segment(judges.real, model).label_map
    right = 0
    for level, centre_mm in judges.centres_mm.items():
        voxels = np.argwhere(found.labels == LABEL_OF[level])
        if len(voxels):
            away = found.geometry.to_world(voxels.astype(float)) - np.asarray(centre_mm)
            right += int(np.linalg.norm(away, axis=1).min() <= _CENTRE_WITHIN_MM)
    return f"{right} of {len(judges.centres_mm)}"


def classifiers(judges: Judges, options: argparse.Namespace) -> None:
    """Train small classifiers, and print how they judge unseen patients and real whole bone."""
    preset = small_preset(options.size, options.passes)
    test = [
        record
        for number in range(options.held_out_patients)
        for record in draw_vertebrae(
            _HELD_OUT_SEED + number, preset.preprocess, judges.shapes, f.ALL, 1.0
        )
    ]
    truth = np.array([record.label for record in test])
    real = [] if judges.real is None else real_crops(judges.real, preset.preprocess)
    print(f"{len(test)} vertebrae to be judged on, {len(real)} real ones")
    print("patients learned from     AUC   real vertebrae called fractured: half of all, worst")
    for name, families in chosen(options):
        learn = [
            record
            for number in range(options.patients)
            for record in draw_vertebrae(number, preset.preprocess, (), families)
        ]
        with tempfile.TemporaryDirectory() as folder:
            network = trained(preset, learn, Path(folder))
        scores = logits(network, [record.images for record in test], preset.preprocess.channels)
        alarms = 1 / (1 + np.exp(-logits(network, real, preset.preprocess.channels)))
        told = f"{np.median(alarms):5.2f} {alarms.max():5.2f}" if len(real) else ""
        print(f"{name:22} {roc_auc_score(truth, scores):6.3f}   {told}", flush=True)


def real_crops(ct: CTVolume, preprocess: Preprocess) -> list[NDArray[np.uint8]]:
    """Crops of the vertebrae that the package's own segmenter finds."""
    found = segment(ct).label_map
    crops = [
        vertebra_crop(ct.hu, ct.geometry, found.labels == label, preprocess).images
        for label in LABEL_OF.values()
        if (found.labels == label).any()
    ]
    return [quantised(crop, preprocess.channels) for crop in crops]


def chosen(options: argparse.Namespace) -> list[tuple[str, f.Families]]:
    """Kinds of patients to learn from; with ``--each``, all families but one at a time."""
    if not options.each:
        return list(KINDS.items())
    return [("all", f.ALL), *((f"all but {name}", f.ALL - {name}) for name in sorted(f.ALL))]


def main() -> None:
    """Print one line a kind of patients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=["segmenter", "classifier"])
    parser.add_argument("--held-out", type=Path, required=True, help="label map, NIfTI")
    parser.add_argument("--held-out-patients", type=int, default=6)
    parser.add_argument("--real", type=Path, help="a study without fractures")
    parser.add_argument("--centres", type=Path, help="JSON with its body centres")
    parser.add_argument("--each", action="store_true", help="leave out one family at a time")
    parser.add_argument("--steps", type=int, default=120, help="of a segmenter")
    parser.add_argument("--patients", type=int, default=12, help="that a classifier learns from")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels of a crop's side")
    options = parser.parse_args()
    centres = json.loads(options.centres.read_text()) if options.centres else {}
    judges = Judges(
        [read_shapes(options.held_out)],
        None if options.real is None else cz.read_ct(options.real),
        centres.get("body_centre_mm", {}),
    )
    {"segmenter": segmenters, "classifier": classifiers}[options.network](judges, options)


if __name__ == "__main__":
    main()
