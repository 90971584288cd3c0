"""Freed memory back to the system: a study comes and goes in pieces that malloc would keep."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect what is unreachable, and let the C library return free pages (glibc only)."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
