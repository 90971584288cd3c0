"""Sample studies that come with the package: where each is, and what is known about it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine_zoo.anatomy import LEVELS, PATIENT_OVERALL
from cspine_zoo.errors import CSpineZooError
from cspine_zoo.resources import samples_dir


@dataclass(frozen=True)
class SampleStudy:
    """A study to try the models on.

    Attributes:
        name: stable identifier.
        title: a few words for a menu.
        description: what it is, where it comes from, what to look for.
        path: the file; ``read_ct`` takes it.
        truth: 1 for a fracture, 0 for none, for C1 to C7 and ``"patient_overall"``; empty if
            nothing is known.
        command: what made the file.
    """

    name: str
    title: str
    description: str
    path: Path
    truth: dict[str, int]
    command: str


def sample_studies() -> tuple[SampleStudy, ...]:
    """The samples of this installation, by name; none if it was made without them.

    Raises:
        CSpineZooError: a sample is there but damaged, code ``bad_sample``.
    """
    return tuple(_read(card) for card in sorted(samples_dir().glob("*.json")))


def _read(card: Path) -> SampleStudy:
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        sample = SampleStudy(
            name=card.stem,
            title=content["title"],
            description=content["description"],
            path=card.parent / content["file"],
            truth=_read_truth(content["truth"]),
            command=content["command"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(card, f"its card cannot be read ({error!r})") from error
    if not sample.path.is_file():
        raise _damaged(card, f"{sample.path.name} is missing")
    return sample


def _read_truth(content: Any) -> dict[str, int]:
    known = dict(content)
    expected = {*LEVELS, PATIENT_OVERALL} if known else set()
    if set(known) != expected or any(value not in (0, 1) for value in known.values()):
        raise ValueError("truth holds 0 or 1 for C1 to C7 and patient_overall, or nothing")
    return known


def _damaged(card: Path, what: str) -> CSpineZooError:
    return CSpineZooError(
        "bad_sample",
        f"this sample study is damaged: {what}.",
        file=card.name,
        hint="Install the package again.",
    )
