"""Which place of the neck a result points at."""

from __future__ import annotations

import cspine_zoo as cz


def most_suspicious(comparison: cz.Comparison) -> str:
    """The level with the highest probability of any variant."""
    return max(cz.LEVELS, key=lambda level: max(p or 0.0 for p in comparison.probabilities(level)))


def boldest(comparison: cz.Comparison, level: str) -> str:
    """The variant that gives a level its highest probability."""
    values = comparison.probabilities(level)
    return max(zip(comparison.models(), values, strict=True), key=lambda pair: pair[1] or 0.0)[0]


def level_of(comparison: cz.Comparison, row: str, model: str) -> str:
    """The level that a row of the picture leads to; patient overall leads to the highest one."""
    if row in cz.LEVELS:
        return row
    index = comparison.models().index(model)
    return max(cz.LEVELS, key=lambda level: comparison.probabilities(level)[index] or 0.0)


def strongest_point(
    comparison: cz.Comparison, row: str, model: str
) -> tuple[float, float, float] | None:
    """World point on the slice that counts most for one variant, over the vertebra's centre."""
    index = comparison.models().index(model)
    vertebra = comparison.predictions[index].vertebra(level_of(comparison, row, model))
    if vertebra.centroid_mm is None:
        return None
    x, y, z = vertebra.centroid_mm
    scores = [s for s in vertebra.slices if (s.weight or s.probability) is not None]
    if scores:
        strongest = max(scores, key=lambda s: (s.weight or 0.0) * (s.probability or 1.0))
        z = strongest.position_mm
    return x, y, z
