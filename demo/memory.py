"""Freed memory back to the system: a study comes and goes in pieces that malloc would keep."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any, Final

_M_ARENA_MAX: Final = -8
"""Of glibc's ``mallopt``."""

_ARENAS: Final = 2


def keep_together() -> None:
    """Let all threads take memory from the same few places (glibc only).

    Each visitor has threads of his own; with an arena for each, pages that hold anything that
    lives on are spread over all of them, and go back to nobody.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Collect what is unreachable, and let the C library return free pages (glibc only)."""
    gc.collect()
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_libc(name: str) -> Callable[..., Any] | None:
    """A function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
