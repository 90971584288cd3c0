"""The studies that the models got most wrong, and the vertebra that cost them most there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.evaluation.metrics import challenge_log_loss, challenge_losses
from cspine_zoo.evaluation.scores import Scores

N_WORST: Final = 4
"""Enough to see what goes wrong, few enough for the pictures of a report to stay small."""


@dataclass(frozen=True)
class Mistake:
    """One study, and its most mistaken vertebra.

    Attributes:
        study: index of the study.
        log_loss: of the study, by model.
        level: the vertebra with the largest weighted loss, all models together.
        fractured: whether that vertebra is.
        probability: of that vertebra, by model; None where the model gave none.
    """

    study: int
    log_loss: Mapping[str, float]
    level: str
    fractured: bool
    probability: Mapping[str, float | None]


def worst_studies(scores: Mapping[str, Scores], n_worst: int = N_WORST) -> tuple[Mistake, ...]:
    """The studies with the largest loss, all models together, from the worst on.

    Args:
        scores: of each model, for the same studies.
        n_worst: how many at most.
    """
    listed: Sequence[Scores] = list(scores.values())
    of_study = {
        name: challenge_log_loss(own.probabilities, own.labels) for name, own in scores.items()
    }
    of_vertebra = np.mean(
        [challenge_losses(own.probabilities, own.labels)[:, :-1] for own in listed], axis=0
    )
    mistakes = []
    for study in np.argsort(-np.mean(list(of_study.values()), axis=0), kind="stable")[:n_worst]:
        at = int(np.argmax(of_vertebra[study]))
        mistakes.append(
            Mistake(
                study=int(study),
                log_loss={name: float(losses[study]) for name, losses in of_study.items()},
                level=LEVELS[at],
                fractured=bool(listed[0].labels[study, at]),
                probability={
                    name: None if own.missing[study, at] else float(own.probabilities[study, at])
                    for name, own in scores.items()
                },
            )
        )
    return tuple(mistakes)
