"""Crops of the vertebrae of studies in RSNA 2022's layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_zoo.anatomy import LABEL_OF
from cspine_zoo.ct.read import read_ct
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import StudyRejected
from cspine_zoo.inference.extent import LevelExtent, level_extents
from cspine_zoo.inference.segment import segment
from cspine_zoo.preprocess.crops import Box, crop_in_box
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.results import LabelMap
from cspine_zoo.rsna.box_volume import boxes_in_volume
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.masks import read_label_map
from cspine_zoo.synthetic.randomness import stream
from cspine_zoo.training.records import MAP_PX, VertebraRecord, quantised, record
from cspine_zoo.training.rough_masks import coarse_mask, misjudged_box
from cspine_zoo.training.synthetic_crops import slices_with_fracture

LOG: Final = logging.getLogger(__name__)

TRUTH: Final = "truth"
"""In place of a segmenter: the studies' own masks, made as rough as predicted ones."""

STUDIES_A_SHARD: Final = 8

_LEAST_VISIBLE: Final = 0.3
"""A vertebra of which less is in view may hide its fracture: the rule of RSNA 2022's 4th place."""


@dataclass(frozen=True)
class RsnaCrops:
    """Shards of the vertebrae of studies.

    Attributes:
        preprocess: of the classifier.
        rows: the studies.
        segmenter: model whose masks cut the crops, or ``TRUTH``.
        seed: of the errors that true masks are given.
        device: that the segmenter runs on.
    """

    preprocess: Preprocess
    rows: Sequence[StudyRow]
    segmenter: str
    seed: int
    device: str = "auto"

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-len(self.rows) // STUDIES_A_SHARD)

    @property
    def studies(self) -> int:
        """How many there are, those that cannot be used among them."""
        return len(self.rows)

    def records(self, number: int) -> list[VertebraRecord]:
        """Of one shard; a study that cannot be used is left out, and the log says why."""
        first = number * STUDIES_A_SHARD
        records: list[VertebraRecord] = []
        for row in self.rows[first : first + STUDIES_A_SHARD]:
            try:
                records += self._of_study(row)
            except StudyRejected as error:
                LOG.warning("study %s is left out: %s", row.uid, error)
        return records

    def _of_study(self, row: StudyRow) -> list[VertebraRecord]:
        if self.segmenter == TRUTH and row.segmentation is None:
            raise StudyRejected("no_mask", "the study has no label map.")
        ct = read_ct(row.images)
        if self.segmenter == TRUTH and row.segmentation is not None:
            label_map = LabelMap(read_label_map(row.segmentation, ct.geometry), ct.geometry)
            levels: Sequence[LevelExtent] = level_extents(label_map)
        else:
            found = segment(ct, self.segmenter, device=self.device)
            label_map, levels = found.label_map, found.levels
        marked = boxes_in_volume(row.images, row.boxes, ct.geometry)
        return [
            self._of_level(row, ct, extent.level, *self._mask(row, label_map, extent), marked)
            for extent in levels
            if extent.found and extent.visible_fraction >= _LEAST_VISIBLE
        ]

    def _mask(
        self, row: StudyRow, label_map: LabelMap, extent: LevelExtent
    ) -> tuple[Box, NDArray[np.bool_]]:
        if extent.box is None:
            raise ValueError(f"{extent.level} has no voxels")
        label = LABEL_OF[extent.level]
        if self.segmenter != TRUTH:
            return extent.box, label_map.labels[extent.box] == label
        geometry, names = label_map.geometry, (row.uid, extent.level)
        box = misjudged_box(extent.box, geometry, stream(self.seed, "box", *names))
        mask = torch.from_numpy(label_map.labels[box] == label)
        return box, coarse_mask(mask, geometry, stream(self.seed, "mask", *names))

    def _of_level(
        self,
        row: StudyRow,
        ct: CTVolume,
        level: str,
        box: Box,
        mask: NDArray[np.bool_],
        marked: NDArray[np.bool_],
    ) -> VertebraRecord:
        """A level of a study: boxes on its mask say where it is broken, if any do."""
        crop = crop_in_box(ct.voxels, ct.geometry, box, mask, self.preprocess)
        images = quantised(crop.images, self.preprocess.channels)
        if not row.level(level):
            return record(images, 0, level, row.uid, row.twin_of)
        cells = replace(self.preprocess, channels=("mask",), size_px=MAP_PX)
        place = crop_in_box(ct.voxels, ct.geometry, box, marked[box] & mask, cells)
        shares = place.images[:, 0]
        truth = slices_with_fracture(shares, place.field_mm)
        if not truth.any():
            return record(images, 1, level, row.uid, row.twin_of)
        shown = (shares * 255).round().astype(np.uint8)
        return record(images, 1, level, row.uid, row.twin_of, shown, truth)
