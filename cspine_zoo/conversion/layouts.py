"""How the source systems name their parameters, and what the same are called here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cspine_zoo.conversion.names import Table
from cspine_zoo.zoo.manifest import Architecture

_LAYOUTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Table]]] = {}


def layout_of(architecture: Architecture) -> Table:
    """The table of an architecture; empty where no original has other names than ours."""
    layout = _LAYOUTS.get(architecture.name)
    return () if layout is None else layout(architecture.arguments)
