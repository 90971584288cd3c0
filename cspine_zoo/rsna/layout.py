"""Read a directory in the RSNA 2022 layout: which studies, what is known of each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.errors import StudyRejected
from cspine_zoo.rsna import tables
from cspine_zoo.rsna.boxes import Box
from cspine_zoo.rsna.uids import require_folder_name
from cspine_zoo.rsna.write import FRACTURES, IMAGES, SEGMENTATIONS

_SUFFIXES: Final = (".nii", ".nii.gz")


@dataclass(frozen=True)
class SyntheticFacts:
    """A study's row of ``synthetic.csv``: how it was made.

    Attributes:
        twin_of: UID of the study that differs from this one by the fracture alone, or empty.
        anatomy: name of the anatomy it was drawn from.
        seed: seed of its scene.
        conspicuity: detectability d' of the fracture; None without one.
        displacement_mm: largest displacement of a fragment; None without a fracture.
        thickness_mm: slice thickness.
        noise_hu: standard deviation of the noise.
        field_mm: side of the field of view.
        neck_in_view: mean share of C1-C7 that the scan shows, 0 to 1.
        families: what else was random, names with blanks between them.
    """

    twin_of: str
    anatomy: str
    seed: str
    conspicuity: float | None
    displacement_mm: float | None
    thickness_mm: float | None
    noise_hu: float | None
    field_mm: float | None = None
    neck_in_view: float | None = None
    families: str = ""


@dataclass(frozen=True)
class StudyRow:
    """One study of the layout.

    Attributes:
        uid: Study Instance UID.
        levels: 1 for each fractured level, in the order C1-C7.
        images: folder of its DICOM files; may be absent.
        segmentation: label map of the vertebrae, or None.
        fractures: label map of fracture voxels by level, or None.
        boxes: fracture boxes, by slice.
        synthetic: how it was made, or None for a real study.
    """

    uid: str
    levels: tuple[int, ...]
    images: Path
    segmentation: Path | None = None
    fractures: Path | None = None
    boxes: tuple[Box, ...] = ()
    synthetic: SyntheticFacts | None = None

    @property
    def patient_overall(self) -> int:
        """1 if any level is fractured."""
        return max(self.levels)

    @property
    def twin_of(self) -> str:
        """UID of its twin, or empty."""
        return self.synthetic.twin_of if self.synthetic else ""

    def level(self, name: str) -> int:
        """Whether the level of that name is fractured."""
        return self.levels[LEVELS.index(name)]


def read_layout(root: Path) -> tuple[StudyRow, ...]:
    """All studies that ``train.csv`` names, sorted by UID. No image is opened.

    Raises:
        StudyRejected: there is no ``train.csv``, or a table is not what the layout says.
    """
    train = root / tables.TRAIN
    if not train.is_file():
        raise StudyRejected(
            "not_rsna_layout",
            "the directory holds no train.csv.",
            file=root.name,
            hint="See the layout in docs/evaluation.md; `cspine-zoo synthesize` writes it.",
        )
    boxes = _read_boxes(root / tables.BOXES)
    synthetic = _read_synthetic(root / tables.SYNTHETIC)
    studies = {}
    for row in tables.read_table(train, tables.TRAIN_COLUMNS):
        uid = require_folder_name(row[tables.UID])
        if uid in studies:
            raise StudyRejected("table_value", f"{uid} stands there twice.", file=tables.TRAIN)
        studies[uid] = StudyRow(
            uid=uid,
            levels=_flags(row),
            images=root / IMAGES / uid,
            segmentation=_nifti(root / SEGMENTATIONS, uid),
            fractures=_nifti(root / FRACTURES, uid),
            boxes=boxes.get(uid, ()),
            synthetic=synthetic.get(uid),
        )
    return tuple(studies[uid] for uid in sorted(studies))


def _flags(row: tables.Row) -> tuple[int, ...]:
    flags = tuple(tables.number(row, level, int, tables.TRAIN) for level in LEVELS)
    overall = tables.number(row, PATIENT_OVERALL, int, tables.TRAIN)
    if set(flags) - {0, 1} or overall != max(flags):
        raise StudyRejected(
            "table_value",
            f"{row[tables.UID]}: flags are 0 or 1, and {PATIENT_OVERALL} is their maximum.",
            file=tables.TRAIN,
        )
    return flags


def _nifti(folder: Path, uid: str) -> Path | None:
    for suffix in _SUFFIXES:
        path = folder / f"{uid}{suffix}"
        if path.is_file():
            return path
    return None


def _read_boxes(path: Path) -> dict[str, tuple[Box, ...]]:
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    for row in tables.read_table(path, tables.BOX_COLUMNS) if path.is_file() else ():
        x, y, width, height = (
            tables.number(row, name, float, path.name) for name in tables.BOX_COLUMNS[1:5]
        )
        slice_number = tables.number(row, "slice_number", int, path.name)
        boxes[row[tables.UID]].append(Box(slice_number, x, y, width, height))
    return {uid: tuple(sorted(found)) for uid, found in boxes.items()}


def _read_synthetic(path: Path) -> dict[str, SyntheticFacts]:
    facts = {}
    for row in tables.read_table(path, tables.SYNTHETIC_COLUMNS) if path.is_file() else ():
        conspicuity, displacement, thickness, noise = (
            tables.number(row, name, float, path.name) if row[name] else None
            for name in tables.SYNTHETIC_COLUMNS[4:]
        )
        field, neck = (
            tables.number(row, name, float, path.name) if row.get(name) else None
            for name in tables.SYNTHETIC_ADDED[:2]
        )
        facts[row[tables.UID]] = SyntheticFacts(
            twin_of=row["twin_of"],
            anatomy=row["anatomy"],
            seed=row["seed"],
            conspicuity=conspicuity,
            displacement_mm=displacement,
            thickness_mm=thickness,
            noise_hu=noise,
            field_mm=field,
            neck_in_view=neck,
            families=row.get("families") or "",
        )
    return facts
