"""Tables that translate the parameter names of one code base into those of another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

Table = Sequence[tuple[str, str | None]]
"""Pairs (their name, our name); the first pair that fits counts. ``*`` is one part of a dotted
name, ``**`` any number of parts; ours takes them over in order. None: no counterpart, on purpose.
"""

_PART: Final = re.compile(r"(\*\*|\*)")


class Unknown(LookupError):
    """No pair of a table fits a name."""


def translate(name: str, table: Table) -> str | None:
    """Our name for theirs; None where the table says that there is none.

    >>> translate("lstm.weight_ih_l0", [("lstm.**", "sequence.recurrent.**")])
    'sequence.recurrent.weight_ih_l0'

    Raises:
        Unknown: the table does not know the name.
    """
    for theirs, ours in table:
        found = _pattern(theirs).fullmatch(name)
        if found is not None:
            return None if ours is None else _filled(ours, found.groups())
    raise Unknown(name)


def fits(name: str, pattern: str) -> bool:
    """Whether a name is of a pattern with ``*`` and ``**``."""
    return _pattern(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    parts = {"*": r"([^.]+)", "**": r"(.+)"}
    return re.compile("".join(parts.get(part) or re.escape(part) for part in _PART.split(text)))


def _filled(ours: str, groups: tuple[str, ...]) -> str:
    taken = iter(groups)
    return _PART.sub(lambda _: next(taken), ours)
