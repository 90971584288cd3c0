"""What became of every tensor of a file, and of every one of our network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cspine_zoo.conversion.names import Table, Unknown, fits, translate
from cspine_zoo.fields import unbuild


@dataclass(frozen=True)
class Mapped:
    """A tensor that fills one of ours."""

    theirs: str
    ours: str


@dataclass(frozen=True)
class Misfit:
    """A tensor with a counterpart that it cannot fill, and why."""

    theirs: str
    ours: str
    reason: str


@dataclass(frozen=True)
class KeyReport:
    """The whole bookkeeping of one conversion.

    Attributes:
        mapped: what fills ours.
        misfits: of another shape or kind, or not finite.
        missing: ours that nothing fills.
        unexpected: theirs without a counterpart.
        ignored: theirs left out and buffers of ours left as built, because the layout or the
            caller says so.
    """

    mapped: tuple[Mapped, ...]
    misfits: tuple[Misfit, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor of ours is filled, and none of theirs is left over."""
        return not (self.misfits or self.missing or self.unexpected)

    @property
    def renamed(self) -> bool:
        """Whether the file is of another code base: one that has our names keeps our ways."""
        return any(one.theirs != one.ours for one in self.mapped)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return unbuild(self)

    def lines(self) -> list[str]:
        """The report for a person, every name in it."""
        blocks = {
            "mapped": [f"{one.theirs} -> {one.ours}" for one in self.mapped],
            "misfits": [f"{one.theirs} -> {one.ours}: {one.reason}" for one in self.misfits],
            "missing": self.missing,
            "unexpected": self.unexpected,
            "ignored": self.ignored,
        }
        lines = []
        for title, names in blocks.items():
            lines += [f"{title}: {len(names)}", *(f"  {name}" for name in names)]
        return lines

    def complaints(self) -> str:
        """What stands in the way, in one sentence; empty if nothing does."""
        parts = (
            _some("missing", self.missing),
            _some("unexpected", self.unexpected),
            _some("misfits", [f"{one.theirs} ({one.reason})" for one in self.misfits]),
        )
        return "; ".join(filter(None, parts))


def match(
    tensors: Mapping[str, Tensor], network: nn.Module, table: Table, ignore: Sequence[str] = ()
) -> KeyReport:
    """Find the counterpart of every tensor.

    Args:
        tensors: theirs, by name.
        network: ours; nothing is written to it.
        table: their names to ours; a name that it does not know is taken to be ours already.
        ignore: patterns of names: of theirs to leave out, and of our buffers to leave as built.
            A parameter of ours is never left.
    """
    expected = network.state_dict()
    parameters = {name for name, _ in network.named_parameters()}
    mapped: dict[str, Mapped] = {}
    misfits: list[Misfit] = []
    unexpected: list[str] = []
    ignored: list[str] = []
    for name, tensor in tensors.items():
        ours = _counterpart(name, table)
        if ours is None or _asked(name, ignore):
            ignored.append(name)
        elif ours not in expected or ours in mapped:
            unexpected.append(name)
        elif reason := _unfit(tensor, expected[ours]):
            misfits.append(Misfit(name, ours, reason))
        else:
            mapped[ours] = Mapped(name, ours)
    unfilled = expected.keys() - mapped.keys() - {misfit.ours for misfit in misfits}
    left = {name for name in unfilled - parameters if _asked(name, ignore)}
    return KeyReport(
        mapped=tuple(mapped.values()),
        misfits=tuple(misfits),
        missing=tuple(name for name in expected if name in unfilled - left),
        unexpected=tuple(unexpected),
        ignored=(*ignored, *(name for name in expected if name in left)),
    )


def _counterpart(name: str, table: Table) -> str | None:
    try:
        return translate(name, table)
    except Unknown:
        return name


def _asked(name: str, ignore: Sequence[str]) -> bool:
    return any(fits(name, pattern) for pattern in ignore)


def _unfit(theirs: Tensor, ours: Tensor) -> str:
    if theirs.layout != torch.strided or theirs.is_quantized or theirs.device.type != "cpu":
        return "not a plain tensor"
    if theirs.shape != ours.shape:
        return f"shape {tuple(theirs.shape)} instead of {tuple(ours.shape)}"
    if theirs.is_floating_point() != ours.is_floating_point() or theirs.is_complex():
        return f"{theirs.dtype} instead of {ours.dtype}".replace("torch.", "")
    if not bool(torch.isfinite(theirs).all()):
        return "holds NaN or infinity"
    return ""


def _some(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what} {', '.join(names[:5])}{more}" if names else ""
