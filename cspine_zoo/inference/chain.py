"""The most plausible spine among pieces of bone: names decoded over the whole sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cspine_zoo.anatomy import THORACIC

FULL_SIZE_MM3: Final = 4000.0
"""From here on a piece counts as one whole vertebra, however large it is: islands of false
vertebra in the skull can be larger than the spine, so size must not win. Cervical vertebrae hold
12 to 28 cm3 in the label maps at hand."""

LARGEST_MM3: Final = 60_000.0
"""Twice the largest; beyond, a piece is hardly one vertebra."""

_VOTE_OF_SHIFT: Final = (1.0, 0.35, 0.05)
"""Worth of giving a piece a name 0, 1 or 2 levels off its label: counting C3 to C6 is where
networks err, and mostly by one."""

_VOTE_OF_SURE_SHIFT: Final = (1.0, 0.05, 0.0)
"""The same where C1 or C2 takes part: their shapes are unlike all others and hardly confused."""

LEAST_RENAMED_MM3: Final = 2500.0
"""A smaller piece may be a process or a fragment of its own level: it gets no other name."""

_SKIP_COST: Final = 0.3
_SKIP_COST_TO_THORAX: Final = 0.05
"""Price of each name left out between two pieces."""

_NEAREST_MM: Final = 8.0
_FARTHEST_MM: Final = 30.0
"""Distance of neighbouring centroids, a level. Pitch in adults runs from 13.9 to 20.5 mm; a level
cut by the edge of the scan stands nearer, C1 and C2 with their arches up to 24 mm apart."""

_STEEPEST: Final = 1.3
_SIDEWAYS_MM: Final = 8.0
"""How far a neighbour may stand aside: this slope (52 degrees) and, since centroids of whole
vertebrae wander with their processes, this much more."""


@dataclass(frozen=True)
class Instance:
    """A connected piece of one label.

    Attributes:
        index: its number among all pieces.
        label: what the network called it, 1-8.
        volume_mm3: its size.
        centroid_mm: world position, RAS+.
    """

    index: int
    label: int
    volume_mm3: float
    centroid_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Link:
    """A piece of the chain with the name that it got."""

    instance: Instance
    name: int


@dataclass(frozen=True)
class _Node:
    link: Link
    score: float
    before: _Node | None


def best_chain(instances: Sequence[Instance]) -> list[Link]:
    """Choose pieces and name them from top to bottom so that the whole is most plausible.

    Names grow downwards, none twice but ``THORACIC``; neighbours stand at a vertebra's distance.
    A chain is worth its number of well-named levels, not its size.

    Returns:
        Links from the highest to the lowest piece; empty without instances.
    """
    ordered = sorted(instances, key=lambda instance: -instance.centroid_mm[2])
    nodes: list[_Node] = []
    for instance in ordered:
        # All names first: a piece cannot follow itself.
        nodes.extend([_extended(link, nodes) for link in _links(instance)])
    if not nodes:
        return []
    best: _Node | None = max(nodes, key=lambda node: node.score)
    chain: list[Link] = []
    while best is not None:
        chain.append(best.link)
        best = best.before
    return chain[::-1]


def _links(instance: Instance) -> list[Link]:
    return [
        Link(instance, name)
        for name in range(1, THORACIC + 1)
        if name == instance.label
        or (instance.volume_mm3 >= LEAST_RENAMED_MM3 and _vote(instance.label, name) > 0)
    ]


def _vote(label: int, name: int) -> float:
    votes = _VOTE_OF_SURE_SHIFT if min(label, name) <= 2 and label != name else _VOTE_OF_SHIFT
    shift = abs(label - name)
    return votes[shift] if shift < len(votes) else 0.0


def _worth(link: Link) -> float:
    volume = link.instance.volume_mm3
    size = min(volume / FULL_SIZE_MM3, 1.0) * (0.5 if volume > LARGEST_MM3 else 1.0)
    # Levels below the neck only anchor the count: a long thorax must not outweigh a neck.
    share = 0.25 if link.name == THORACIC else 1.0
    return size * share * _vote(link.instance.label, link.name)


def _extended(link: Link, nodes: Sequence[_Node]) -> _Node:
    """The link behind whichever chain so far makes the most of it."""
    before, gain = None, 0.0
    for node in nodes:
        cost = _step_cost(node.link, link)
        if cost is not None and node.score - cost > gain:
            before, gain = node, node.score - cost
    return _Node(link, gain + _worth(link), before)


def _step_cost(upper: Link, lower: Link) -> float | None:
    """Price of one piece following another; None if it cannot."""
    levels = lower.name - upper.name
    if levels <= 0 and not upper.name == lower.name == THORACIC:
        return None
    step = np.subtract(lower.instance.centroid_mm, upper.instance.centroid_mm)
    drop, aside = -float(step[2]), float(np.hypot(step[0], step[1]))
    if drop <= 0 or aside > _STEEPEST * drop + _SIDEWAYS_MM:
        return None
    distance = float(np.linalg.norm(step))
    if upper.name == THORACIC or lower.name == THORACIC:
        # One piece may hold several thoracic levels: only the nearer bound says anything.
        least, most = max(levels, 1) * _NEAREST_MM, np.inf
    else:
        least, most = levels * _NEAREST_MM, levels * _FARTHEST_MM
    if not least <= distance <= most:
        return None
    cost = _SKIP_COST_TO_THORAX if lower.name == THORACIC else _SKIP_COST
    return cost * max(levels - 1, 0)
