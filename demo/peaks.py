"""The most memory that each stage of a run held, as the system and the graphics card counted it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_FORGET_PEAK: Final = "5"
"""proc(5): writing this sets VmHWM back to what the process holds now."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Peak:
    """The most that was held at one moment.

    Attributes:
        process_bytes: resident memory of the whole process, loaded models included; 0 where the
            system does not tell: only Linux does, and not in every sandbox.
        card_bytes: memory of the graphics card that torch had given out; 0 without one.
    """

    process_bytes: int = 0
    card_bytes: int = 0

    def or_more(self, other: Peak) -> Peak:
        """The larger of both, each figure by itself."""
        return Peak(
            max(self.process_bytes, other.process_bytes), max(self.card_bytes, other.card_bytes)
        )


class Peaks:
    """Passes on what a run reports, and notes what it held since its last report.

    Runs report what they have done: what was held before a report belongs to its stage.

    Attributes:
        found: by stage, in the order in which stages were reported.
    """

    def __init__(self, report: Callable[[str, float], None]) -> None:
        self._report = report
        self._counted = _forget()
        self.found: dict[str, Peak] = {}

    def report(self, stage: str, fraction: float) -> None:
        """As the run's own ``progress``."""
        card = _card()
        held = Peak(
            _process_bytes() if self._counted else 0,
            0 if card is None else int(card.max_memory_allocated()),
        )
        self.found[stage] = self.found.get(stage, Peak()).or_more(held)
        self._counted = _forget()
        self._report(stage, fraction)


def _forget() -> bool:
    """Begin to count anew; False if the system does not count."""
    card = _card()
    if card is not None:
        card.reset_peak_memory_stats()
    try:
        _CLEAR.write_text(_FORGET_PEAK, encoding="ascii")
    except OSError as error:
        _log.debug("no memory by stage: %s", error.strerror)
        return False
    return True


def _process_bytes() -> int:
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def _card() -> Any:
    """``torch.cuda`` where a run has begun to use it; this module imports no torch."""
    torch: Any = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
