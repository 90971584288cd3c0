"""Weights of the two source systems into safetensors with their manifest row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from cspine_zoo.conversion.direction import from_above, turn_round
from cspine_zoo.conversion.layouts import layout_of
from cspine_zoo.conversion.pickled import read_state
from cspine_zoo.conversion.report import KeyReport, match
from cspine_zoo.errors import UsageError, WeightsError
from cspine_zoo.models.registry import build
from cspine_zoo.zoo import checkpoint
from cspine_zoo.zoo.locate import find_entry
from cspine_zoo.zoo.manifest import Calibration, Licence, ManifestEntry, OperatingPoint

SUFFIX: Final = ".safetensors"

_LIMITATIONS: Final = (
    "Converted weights with this package's preprocessing: HU windows and crops by geometry, where "
    "their makers took raw pixel values from minimum to maximum and other crops. Probabilities "
    "will differ from theirs unless the network is retrained, or checked on studies with known "
    "truth.",
    "Not calibrated: the operating point is 0.5 by default, not chosen on any study.",
)
_NOT_FITTED: Final = "nothing: converted weights"


@dataclass(frozen=True, eq=False)
class Conversion:
    """A file whose tensors have been matched with one of our networks; nothing is written yet.

    Attributes:
        entry: the row that the converted weights will carry.
        report: what became of every tensor.
        wrapping: nests and prefixes around their state dict.
    """

    entry: ManifestEntry
    report: KeyReport
    wrapping: tuple[str, ...]
    _network: nn.Module
    _tensors: dict[str, Tensor]
    _source: Path

    def write(self, out: str | os.PathLike[str]) -> ManifestEntry:
        """Write the safetensors file, in float32, so that no output changes.

        Args:
            out: a path that ends in ``.safetensors``, by which every command takes the model.

        Returns:
            The row, with the file in it.

        Raises:
            WeightsError: ``state_dict_mismatch``, with nothing written: a tensor of ours is not
                filled, or one of theirs is left over; or the file cannot be written.
            UsageError: ``bad_out``.
        """
        path = checked_out(out)
        if not self.report.complete:
            raise WeightsError(
                "state_dict_mismatch",
                f"It does not fit {self.entry.name}: {self.report.complaints()}.",
                file=str(self._source),
                hint=_hint(self.report, self._tensors),
            )
        state = self._network.state_dict()
        with torch.no_grad():
            for one in self.report.mapped:
                state[one.ours].copy_(self._tensors[one.theirs])
        if self.report.renamed:
            turn_round(self._network)
        return checkpoint.write(self._network, self.entry, path, half=False)


def prepare(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str],
    ignore: Sequence[str] = (),
    origin: str = "",
) -> Conversion:
    """Read a ``.pth`` file and match it with a model; ``.report`` says how well it fits.

    Args:
        path: the file; read without running anything in it.
        model: the row whose network the weights are for.
        ignore: patterns (``*`` one part of a name, ``**`` any number) of their tensors to leave
            out, and of our buffers to leave as built.
        origin: where the file was had from, for the row.

    Raises:
        UsageError: there is no such model.
        WeightsError: the file is not a state dict, or asks for code.
    """
    entry = find_entry(model)
    source = Path(path)
    state = read_state(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # buffers that are left as built are the same each time
        network = build(entry.architecture.name, entry.architecture.arguments)
    report = match(state.tensors, network, layout_of(entry.architecture), ignore)
    row = _row(entry, f"{source.name}, sha256 {state.sha256}{origin and f', from {origin}'}")
    if report.renamed:
        row = replace(row, preprocess=from_above(row.preprocess))
    return Conversion(row, report, state.wrapping, network, state.tensors, source)


def convert(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    ignore: Sequence[str] = (),
) -> ManifestEntry:
    """Convert a ``.pth`` file of a source system; ``load_model(out)`` then loads it.

    Args:
        path: as in ``prepare``.
        model: as in ``prepare``.
        out: as in ``Conversion.write``.
        ignore: as in ``prepare``.

    Returns:
        The row, with the file in it.

    Raises:
        UsageError: there is no such model, or ``out`` has another suffix.
        WeightsError: the file is not a state dict, asks for code, or does not fit.
    """
    checked_out(out)
    return prepare(path, model, ignore).write(out)


def checked_out(out: str | os.PathLike[str]) -> Path:
    """The path of the file to write.

    Raises:
        UsageError: ``bad_out``: another suffix, by which nothing would know it again.
    """
    path = Path(out)
    if path.suffix.lower() != SUFFIX:
        raise UsageError(
            "bad_out", f"The name must end in {SUFFIX}.", file=str(out), hint="Change --out."
        )
    return path


def _row(entry: ManifestEntry, source: str) -> ManifestEntry:
    classifies = entry.calibration is not None
    return replace(
        entry,
        files=(),
        calibration=Calibration("none", 1.0, _NOT_FITTED) if classifies else None,
        operating_point=OperatingPoint(0.5, 0.5, _NOT_FITTED) if classifies else None,
        metrics=(),
        golden=None,
        licence=Licence(
            code=entry.licence.code,
            weights="not stated by the file: ask whoever made it",
            data="not stated by the file: ask whoever made it",
        ),
        training_data=f"Unknown. Converted from {source}.",
        limitations=_LIMITATIONS if classifies else _LIMITATIONS[:1],
    )


def _hint(report: KeyReport, tensors: dict[str, Tensor]) -> str:
    fed = tensors.get("lstm.weight_ih_l0")
    if fed is not None and fed.ndim == 2 and fed.shape[1] == 1:
        return (
            "Its LSTM takes one number a slice, the mistake of source system 1; the network here "
            "takes the slice's features. Such weights cannot be mended, only trained again."
        )
    if report.unexpected and not report.missing and not report.misfits:
        return "If what is unexpected is of no use, name it with --ignore."
    return "Is it the file of another model? cspine-zoo models lists those that there are."
