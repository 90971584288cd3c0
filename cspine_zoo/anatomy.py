"""The order of the cervical levels and the numbers that stand for them, once."""

from typing import Final

LEVELS: Final = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
"""Cervical vertebrae, from the skull down; index ``i`` carries label ``i + 1``."""

BACKGROUND: Final = 0
THORACIC: Final = 8
"""T1 and every level below it, in label maps and segmenter outputs."""

DISC: Final = 9
"""Intervertebral discs: a class of its own inside segmenters, never in a label map that leaves."""

LABEL_OF: Final = {level: index + 1 for index, level in enumerate(LEVELS)}
LEVEL_OF: Final = {label: level for level, label in LABEL_OF.items()}

CLASSES: Final = ("background", *LEVELS, "T1 and below", "disc")
"""What segmenters' rows call their classes; the index of a name is its label."""

PATIENT_OVERALL: Final = "patient_overall"

MINIMUM_FOUND_MM3: Final = 1000.0
"""A level is found when the largest component of its mask holds at least 1 cm3."""
