"""Grad-CAM on demand: asked of a worker, and kept for as long as the result it explains."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import cspine_zoo as cz
from jobs import Report, Ticket
from own import Variant, ready


@dataclass(frozen=True)
class Question:
    """Whose score of what is to be mapped."""

    model: str
    level: str


@dataclass(eq=False)
class Answers:
    """What this session asked about one comparison: maps that are there, one that is awaited."""

    known: dict[Question, cz.SensitivityMap] = field(default_factory=dict)
    awaited: tuple[Question, Ticket[cz.SensitivityMap]] | None = None


Memory = WeakKeyDictionary[cz.Comparison, Answers]
"""Maps of somebody's scan, which go when the comparison goes: no "delete now" can forget them."""


def explain(
    report: Report, ct: cz.CTVolume, comparison: cz.Comparison, variant: Variant, level: str
) -> cz.SensitivityMap:
    """Map one variant's score of one vertebra; runs in a worker.

    On the processor: one vertebra takes a second or so there, and a graphics card is left to runs.
    """
    report("explain", 0.0)
    return cz.grad_cam(ct, comparison, ready(variant, "cpu"), level, device="cpu")
