"""Studies in RSNA 2022's layout as training data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cspine_zoo.errors import UsageError
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.training.recipes import CropPreset, SegmenterPreset
from cspine_zoo.training.rsna_crops import TRUTH, RsnaCrops
from cspine_zoo.training.rsna_patches import RsnaPatches, make_volumes
from cspine_zoo.training.stored_split import stored_split
from cspine_zoo.zoo.locate import find_entry


@dataclass(frozen=True)
class RsnaData:
    """The training studies of a layout.

    Attributes:
        rows: studies that are not held out.
        held_out: number of those that are.
    """

    rows: tuple[StudyRow, ...]
    held_out: int

    @property
    def text(self) -> str:
        """For the model card."""
        boxed = sum(bool(row.boxes) for row in self.rows)
        masked = sum(row.segmentation is not None for row in self.rows)
        fractured = sum(row.patient_overall for row in self.rows)
        return (
            f"{len(self.rows):,} studies in the RSNA 2022 layout, {fractured:,} with a fracture, "
            f"{boxed:,} with boxes, {masked:,} with label maps; {self.held_out:,} more held out."
        )

    def crops(self, preset: CropPreset, segmenter: str | None, device: str) -> RsnaCrops:
        """Crops of vertebrae, cut by the masks of ``segmenter`` or the row's own.

        Raises:
            UsageError: there is no such segmenter.
        """
        chosen = segmenter or preset.segmenter
        if chosen != TRUTH and find_entry(chosen).task != "vertebra-segmentation":
            raise UsageError("wrong_task", "this model is no segmenter.", file=Path(chosen).name)
        return RsnaCrops(preset.preprocess, self.rows, chosen, preset.seed, device)

    def patches(self, preset: SegmenterPreset, folder: Path) -> RsnaPatches:
        """Patches of a segmenter, from the studies with label maps."""
        spacing_mm = preset.patches.axes_mm
        return RsnaPatches(tuple(make_volumes(self.rows, folder, spacing_mm)), spacing_mm)

    def fingerprint(self, crops: RsnaCrops) -> bytes:
        """Names what crops are made from."""
        model = "" if crops.segmenter == TRUTH else repr(find_entry(crops.segmenter).files)
        known = [(row.uid, row.levels, row.boxes) for row in self.rows]
        return hashlib.sha256(repr((known, crops.segmenter == TRUTH, model)).encode()).digest()


def read_data(root: Path, out: Path, seed: int) -> RsnaData:
    """The studies of a layout without those that are held out.

    Args:
        root: of the layout.
        out: directory that holds the split, ``split.csv``.
        seed: of the split.

    Raises:
        StudyRejected: the directory is not in RSNA's layout.
        UsageError: the stored split does not fit.
    """
    split = stored_split(out / "split.csv", read_layout(root), seed)
    return RsnaData(split.train, len(split.held_out))
