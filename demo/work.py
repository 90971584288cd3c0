"""What the page asks its workers for; torch is imported only where it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import cspine_zoo as cz
from jobs import Report
from own import Variant, ready
from peaks import Peak, Peaks
from shared import Shared

T = TypeVar("T")


@dataclass(frozen=True)
class Remark:
    """Something about a run that its reader should know."""

    code: str
    message: str


ON_THE_CPU: Final = Remark(
    "ran_on_cpu",
    "The graphics card had no room for this study, so it ran on the processor: that takes longer, "
    "and moves a probability by 0.01 at most.",
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A comparison, and what was noticed while it was made.

    Attributes:
        peaks: memory by stage.
    """

    comparison: cz.Comparison
    remarks: tuple[Remark, ...] = ()
    peaks: Mapping[str, Peak] = field(default_factory=dict)


def read(report: Report, source: Path, series: int | None) -> Shared[cz.CTVolume]:
    """Read a study into memory that workers can map."""
    report("read", 0.0)
    return Shared(cz.read_ct(source, series=series))


def compare(
    report: Report, ct: cz.CTVolume, variants: Sequence[Variant], localizer: str | None = None
) -> Outcome:
    """Compare classifiers; on the processor if the graphics card is too small."""
    peaks = Peaks(report)

    def run(device: str) -> cz.Comparison:
        models = [ready(variant, device) for variant in variants]
        return cz.compare(ct, models, localizer=localizer, device=device, progress=peaks.report)

    return Outcome(*with_room(run), peaks.found)


def with_room(run: Callable[[str], T]) -> tuple[T, tuple[Remark, ...]]:
    """Run on the best device, and on the processor if that one is out of memory.

    Args:
        run: takes ``"auto"`` or ``"cpu"``.

    Returns:
        What it returned, and a remark if it had to be the processor.
    """
    try:
        return run("auto"), ()
    except RuntimeError as error:  # CUDA's own error is one of these; MPS has no other
        if "out of memory" not in str(error).lower():
            raise
    # Behind the handler: up to here the error's traceback held what filled the device.
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return run("cpu"), (ON_THE_CPU,)


def graphics_cards(report: Report) -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls each card that torch can use."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return listed.split(",")[:count] if listed else [str(number) for number in range(count)]
