"""Write one study in the RSNA 2022 layout, with its truth."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from cspine_zoo.anatomy import LABEL_OF, LEVELS
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import UsageError
from cspine_zoo.rsna import tables
from cspine_zoo.rsna.boxes import boxes_of
from cspine_zoo.rsna.masks import write_label_map
from cspine_zoo.rsna.slices import write_slices
from cspine_zoo.rsna.uids import require_folder_name

IMAGES: Final = "train_images"
SEGMENTATIONS: Final = "segmentations"
FRACTURES: Final = "fractures"
"""Not in RSNA's data: where the fracture's voxels are, labelled by level."""

_NEIGHBOURHOOD_MM: Final = 20.0  # bone around a fracture that can claim its voxels

Cell = str | int | float | None


_SYNTHETIC: Final = (*tables.SYNTHETIC_COLUMNS, *tables.SYNTHETIC_ADDED)


@dataclass(frozen=True, eq=False)
class StudyToWrite:
    """A study with its truth, all on one RAS grid.

    Attributes:
        uid: Study Instance UID; names the folder.
        hu: float32, (I, J, K) in RAS order.
        geometry: grid of ``hu``.
        levels: 1 for each fractured level, 0 for the others; levels left out are whole.
        label_map: vertebra labels (0; 1-7 C1-C7; 8-19 T1-T12), or None.
        fracture_mask: voxels of the fractures that are in view: bool, or uint8 with the label of
            the fractured level. A bool mask of several levels needs ``label_map`` to tell them
            apart.
        synthetic: the columns of ``synthetic.csv`` besides the UID, or None for a real study.

    Raises:
        UsageError: the parts contradict each other.
    """

    uid: str
    hu: NDArray[np.float32]
    geometry: Geometry
    levels: Mapping[str, int]
    label_map: NDArray[np.uint8] | None = None
    fracture_mask: NDArray[np.bool_] | NDArray[np.uint8] | None = None
    synthetic: Mapping[str, Cell] | None = None
    ct: CTVolume = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_folder_name(self.uid)
        try:
            object.__setattr__(self, "ct", CTVolume(self.hu, self.geometry))
        except ValueError as error:
            raise UsageError("study_to_write", f"{error}.", file=self.uid) from error
        if not np.isfinite(self.hu).all():
            raise UsageError("study_to_write", "hu must be finite.", file=self.uid)
        for name, array in (("label_map", self.label_map), ("fracture_mask", self.fracture_mask)):
            if array is not None and array.shape != self.geometry.shape:
                raise UsageError("study_to_write", f"{name} is on another grid.", file=self.uid)
        wrong = [
            key for key, flag in self.levels.items() if key not in LEVELS or flag not in (0, 1)
        ]
        if wrong:
            raise UsageError("study_to_write", f"levels {wrong} are not C1-C7: 0|1.", file=self.uid)
        unknown = set(self.synthetic or ()) - set(_SYNTHETIC[1:])
        if unknown:
            raise UsageError("study_to_write", f"no column {sorted(unknown)}.", file=self.uid)

    @property
    def fractured(self) -> tuple[str, ...]:
        """Fractured levels from the skull down."""
        return tuple(level for level in LEVELS if self.levels.get(level, 0))


def write_study(root: Path, study: StudyToWrite) -> Path:
    """Write images, masks and rows of one study; a study of the same UID is replaced.

    The row of ``train.csv`` is written last: a study that has one is complete, so that an
    interrupted generation can go on after it (`written_uids`).

    Returns:
        The folder of the DICOM files.

    Raises:
        UsageError: the fracture's voxels contradict the flags, or the grid cannot be axial DICOM.
        StudyRejected: a table that is there already is not of this layout.
    """
    fracture_levels = _fracture_levels(study)
    folder = root / IMAGES / study.uid
    partial = root / IMAGES / f".{study.uid}.partial"
    _remove(root, study.uid, (partial, folder))
    facts = study.synthetic or {}
    thickness = facts.get("thickness_mm")
    spacing = study.geometry.spacing_mm[2]
    write_slices(partial, study.ct, study.uid, spacing if thickness is None else float(thickness))
    partial.rename(folder)
    if study.label_map is not None:
        path = root / SEGMENTATIONS / f"{study.uid}.nii"
        write_label_map(path, study.label_map, study.geometry)
    boxes: list[tuple[Cell, ...]] = []
    if fracture_levels is not None:
        path = root / FRACTURES / f"{study.uid}.nii.gz"
        write_label_map(path, fracture_levels, study.geometry)
        boxes = [
            (study.uid, box.x, box.y, box.width, box.height, box.slice_number)
            for box in boxes_of(fracture_levels, study.geometry)
        ]
    tables.replace_rows(root / tables.BOXES, tables.BOX_COLUMNS, study.uid, boxes)
    if study.synthetic is not None:
        cells = [study.uid, *(facts.get(name) for name in _SYNTHETIC[1:])]
        tables.replace_rows(root / tables.SYNTHETIC, _SYNTHETIC, study.uid, [cells])
    flags = [int(level in study.fractured) for level in LEVELS]
    row: list[Cell] = [study.uid, max(flags), *flags]
    tables.replace_rows(root / tables.TRAIN, tables.TRAIN_COLUMNS, study.uid, [row])
    return folder


def written_uids(root: Path) -> frozenset[str]:
    """Studies under ``root`` that are complete."""
    path = root / tables.TRAIN
    if not path.exists():
        return frozenset()
    return frozenset(row[tables.UID] for row in tables.read_table(path, tables.TRAIN_COLUMNS))


def _remove(root: Path, uid: str, folders: tuple[Path, Path]) -> None:
    """Take an earlier version of the study away, its row of ``train.csv`` before its files."""
    if uid in written_uids(root):
        tables.replace_rows(root / tables.TRAIN, tables.TRAIN_COLUMNS, uid, [])
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    (root / SEGMENTATIONS / f"{uid}.nii").unlink(missing_ok=True)
    (root / FRACTURES / f"{uid}.nii.gz").unlink(missing_ok=True)


def _fracture_levels(study: StudyToWrite) -> NDArray[np.uint8] | None:
    """The fracture mask with every voxel labelled by its level."""
    mask = study.fracture_mask
    if mask is None:
        return None
    flagged = [LABEL_OF[level] for level in study.fractured]
    if mask.dtype != np.bool_:
        labelled = mask.astype(np.uint8)
    elif len(flagged) <= 1:
        labelled = mask.astype(np.uint8) * np.uint8(flagged[0] if flagged else 0)
    else:
        labelled = _by_nearest_bone(study, flagged)
    if mask.any() and not flagged:
        raise UsageError(
            "study_to_write", "fracture voxels, but no fractured level.", file=study.uid
        )
    stray = set(np.unique(labelled[labelled > 0]).tolist()) - set(flagged)
    if stray:
        raise UsageError(
            "study_to_write", f"fracture voxels of whole levels {stray}.", file=study.uid
        )
    return labelled


def _by_nearest_bone(study: StudyToWrite, flagged: list[int]) -> NDArray[np.uint8]:
    """Give each voxel of a bool mask to the fractured vertebra that lies nearest."""
    labelled: NDArray[np.uint8] = np.zeros(study.geometry.shape, np.uint8)
    if study.fracture_mask is None or not study.fracture_mask.any():
        return labelled
    if study.label_map is None:
        raise UsageError("study_to_write", "several fractures need a label map.", file=study.uid)
    rim = np.ceil(_NEIGHBOURHOOD_MM / np.asarray(study.geometry.spacing_mm)).astype(int)
    around = ndimage.find_objects(study.fracture_mask.astype(np.uint8))[0]
    box = tuple(slice(max(s.start - r, 0), s.stop + r) for s, r in zip(around, rim, strict=True))
    bone = np.where(np.isin(study.label_map[box], flagged), study.label_map[box], np.uint8(0))
    voxels = np.argwhere(bone)
    if not len(voxels):
        raise UsageError(
            "study_to_write", "no fractured vertebra near its fracture.", file=study.uid
        )
    scale = np.asarray(study.geometry.spacing_mm)
    fractured = np.argwhere(study.fracture_mask[box])
    _, nearest = KDTree(voxels * scale).query(fractured * scale)
    labelled[box][tuple(fractured.T)] = bone[tuple(voxels[nearest].T)]
    return labelled
