"""How well synthetic whole vertebrae can be told from those of real scans; prints the AUC.

``python -m benchmarks.domain REAL...`` takes studies without fractures, as ``read_ct`` does. As
long as the AUC is near 1, no score of a classifier on real CT means anything. Synthetic patients
are scanned on the grid of the real study in turn, so that resolution does not tell them apart; a
level is judged by what was learned from the other levels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cspine_zoo as cz
from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.inference.segment import DEFAULT_SEGMENTER, segment
from cspine_zoo.preprocess.crops import vertebra_crop
from cspine_zoo.synthetic.acquisition import Acquisition
from cspine_zoo.synthetic.families import ALL, FIRST, Families
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.synthetic.render import render
from cspine_zoo.synthetic.scan import scanned
from cspine_zoo.synthetic.scene import Scene

LEAST_MM3 = 4000.0
"""A vertebra that is cut by the edge of a scan is not compared."""

CLASSIFIERS = ("cls-cnn-lite0", "cls-bigru-lite0", "cls-bigru-attention-lite0")


@dataclass(frozen=True)
class Neck:
    """A scan with its vertebrae."""

    hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    geometry: Geometry

    def vertebrae(self) -> Iterable[tuple[str, NDArray[np.bool_]]]:
        """Levels that are there whole, with their masks."""
        for level in LEVELS:
            mask = self.labels == LABEL_OF[level]
            ends = mask[:, :, [0, -1]].any()
            if mask.sum() * self.geometry.voxel_mm3 >= LEAST_MM3 and not ends:
                yield level, mask


def neck_of(ct: CTVolume, segmenter: str) -> Neck | None:
    """A study with the vertebrae that the package's own segmenter finds; None if it finds none."""
    try:
        found = segment(ct, segmenter, device="cpu")
    except cz.StudyRejected:
        return None
    return Neck(ct.hu, found.label_map.labels, ct.geometry)


def synthetic_scan(seed: int, spacing_mm: Sequence[float], families: Families) -> CTVolume:
    """A whole synthetic patient on voxels of the given size."""
    scene = Scene.draw(seed, families=families)
    ends = np.stack([scene.world("C1"), scene.world("C7")])
    size_mm = np.array([110.0, 120.0, ends[0, 2] - ends[1, 2] + 50.0])
    shape = [int(n) for n in np.round(size_mm / spacing_mm)]
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = ends.mean(0) - np.array([0.0, 14.0, 0.0]) - 0.5 * size_mm
    geometry = Geometry((shape[0], shape[1], shape[2]), affine)
    drawn = render(scene, geometry)
    acquisition = Acquisition.draw(stream(seed, "domain"), (spacing_mm[2], 1.3 * spacing_mm[2]))
    acquisition = acquisition.varied(seed, families)
    return CTVolume(scanned(drawn, scene, acquisition).numpy(), geometry)


def looks(neck: Neck, mask: NDArray[np.bool_]) -> list[float]:
    """What bone looks like within a mask: densities, texture by scale, edges, profile."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    hu, mask, spacing = neck.hu[box], mask[box], neck.geometry.spacing_mm
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    core = depth > min(2.2, 0.6 * float(depth.max()))
    inside = hu[core]
    found = [*np.percentile(inside, (5, 25, 50, 75, 95)), inside.std()]
    for scale in (1.2, 2.5, 5.0):
        fine, coarse = (
            ndimage.gaussian_filter(hu, [s / v for v in spacing]) for s in (0.5 * scale, scale)
        )
        found.append((fine - coarse)[core].std())
    slope = np.hypot(*np.gradient(hu, axis=(0, 1))) / spacing[0]
    found += [*np.percentile(slope[core], (50, 90)), np.percentile(slope[mask], 90)]
    rings = ((0.0, 1.2), (1.2, 2.5), (2.5, 4.0), (4.0, 99.0))
    middle = float(np.median(inside))
    for low, high in rings:
        ring = hu[(depth > low) & (depth <= high)]
        found.append(float(ring.mean()) - middle if ring.size else 0.0)
    return [float(value) for value in found]


def domain_auc(real: Sequence[Neck], synthetic: Sequence[Neck]) -> tuple[float, int, int]:
    """AUC of telling them apart, with the number of vertebrae of each kind."""
    rows, kinds, groups = [], [], []
    for kind, necks in enumerate((synthetic, real)):
        for neck in necks:
            for level, mask in neck.vertebrae():
                rows.append(looks(neck, mask))
                kinds.append(kind)
                groups.append(level)
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced"))
    scores = cross_val_predict(
        judge,
        np.array(rows),
        kinds,
        groups=groups,
        cv=LeaveOneGroupOut(),
        method="decision_function",
    )
    return float(roc_auc_score(kinds, scores)), sum(kinds), len(kinds) - sum(kinds)


def alarm_rates(necks: Sequence[Neck]) -> dict[str, list[float]]:
    """What the bundled classifiers say of vertebrae that are whole, as logits."""
    found: dict[str, list[float]] = {}
    for name in CLASSIFIERS:
        model = cz.load_model(name, device="cpu")
        found[name] = []
        for neck in necks:
            for _, mask in neck.vertebrae():
                crop = vertebra_crop(neck.hu, neck.geometry, mask, model.preprocess)
                with torch.inference_mode():
                    found[name].append(float(model(torch.from_numpy(crop.images)[None]).logit[0]))
    return found


def main() -> None:
    """Compare with the first generation of the engine and with all families."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", nargs="+", help="studies without fractures")
    parser.add_argument("--segmenter", default=DEFAULT_SEGMENTER)
    parser.add_argument("--patients", type=int, default=12, help="synthetic ones of each kind")
    parser.add_argument("--classifiers", action="store_true", help="also ask the bundled ones")
    asked = parser.parse_args()
    scans = [neck_of(cz.read_ct(path), asked.segmenter) for path in asked.real]
    real = [neck for neck in scans if neck is not None]
    kinds: dict[str, Families] = {"first generation": FIRST, "all families": ALL}
    for name, families in kinds.items():
        grids = [real[seed % len(real)].geometry.spacing_mm for seed in range(asked.patients)]
        made = [
            neck_of(synthetic_scan(seed, spacing_mm, families), asked.segmenter)
            for seed, spacing_mm in enumerate(grids)
        ]
        necks = [neck for neck in made if neck is not None]
        auc, n_real, n_synthetic = domain_auc(real, necks)
        print(f"{name}: domain AUC {auc:.3f} ({n_synthetic} synthetic, {n_real} real)", flush=True)
        if asked.classifiers:
            _report(f"synthetic, {name}", alarm_rates(necks[:3]))
    if asked.classifiers:
        _report("real", alarm_rates(real))


def _report(name: str, logits: dict[str, list[float]]) -> None:
    for model, values in logits.items():
        middle, highest = np.median(values), np.max(values)
        called = np.mean(np.array(values) > 0)
        print(
            f"  {name}, {model}: logit median {middle:.2f}, highest {highest:.2f}, >0 {called:.0%}"
        )


if __name__ == "__main__":
    main()
