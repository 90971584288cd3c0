"""What the page remembers: models for everyone, studies for the one who brought them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

import streamlit as st

import cspine_zoo as cz
from jobs import Failure, Lane, Ticket
from uploads import Spool

SLIDERS: Final = ("slice_i", "slice_j", "slice_k")
"""Keys of the crosshair's sliders, along I, J and K."""


@dataclass
class Study:
    """A study that has been read.

    Attributes:
        title: for its owner's eyes only.
        ct: the voxels.
        truth: what is known about a sample; empty otherwise.
        sample: name of the sample, or empty for an upload.
        spool: the upload itself, kept only while there is a choice of series.
    """

    title: str
    ct: cz.CTVolume
    truth: Mapping[str, int] = field(default_factory=dict)
    sample: str = ""
    spool: Spool | None = None


@dataclass
class Intake:
    """A study on its way in."""

    title: str
    ticket: Ticket[cz.CTVolume]
    truth: Mapping[str, int] = field(default_factory=dict)
    sample: str = ""
    spool: Spool | None = None


@dataclass
class Fetch:
    """Weights on their way to this machine.

    Attributes:
        ticket: the work.
        stop: ends a transfer at once, even one that brings nothing.
    """

    ticket: Ticket[list[Path]]
    stop: Event

    def cancel(self) -> None:
        """Stop, and leave nothing half-fetched."""
        self.ticket.cancel()
        self.stop.set()


@dataclass
class Visit:
    """One browser session. Nothing in it is ever put where another session could see it."""

    intake: Intake | None = None
    study: Study | None = None
    refusal: Failure | None = None
    run: Ticket[cz.Comparison] | None = None
    run_failure: Failure | None = None
    comparison: cz.Comparison | None = None
    picture: str = ""
    upload_round: int = 0
    jumped: bool = False
    fetches: dict[str, Fetch] = field(default_factory=dict)

    def forget_result(self) -> None:
        """Drop the comparison, and stop one that is being made."""
        if self.run is not None:
            self.run.cancel()
        self.run = self.run_failure = self.comparison = None
        self.picture = ""

    def forget_study(self) -> None:
        """Drop the study and all that came from it, uploaded bytes included."""
        self.forget_result()
        if self.intake is not None:
            self.intake.ticket.cancel()
        for holder in (self.intake, self.study):
            if holder is not None and holder.spool is not None:
                holder.spool.delete()
        self.intake = self.study = self.refusal = None
        self.upload_round += 1


def visit() -> Visit:
    """This session's memory."""
    if "visit" not in st.session_state:
        st.session_state["visit"] = Visit()
    memory: Visit = st.session_state["visit"]
    return memory


class Engine:
    """What all sessions share: the queues, and nothing of anybody's scan.

    Models are shared too: ``cz.compare`` keeps those it has loaded for the whole process.
    """

    def __init__(self) -> None:
        self.reading = Lane("cspine-zoo-reader")
        self.running = Lane("cspine-zoo-runner")
        self.fetching = Lane("cspine-zoo-fetcher")


@st.cache_resource
def engine() -> Engine:
    """The one engine of this server."""
    return Engine()


def centre_crosshair(ct: cz.CTVolume) -> None:
    """Put the crosshair in the middle of the study."""
    for key, size in zip(SLIDERS, ct.geometry.shape, strict=True):
        st.session_state[key] = size // 2


def point_crosshair(ct: cz.CTVolume, world_mm: Sequence[float]) -> None:
    """Put the crosshair on a point of the patient, or on the nearest voxel of the study."""
    voxel = ct.geometry.to_voxel(world_mm)
    for key, place, size in zip(SLIDERS, voxel, ct.geometry.shape, strict=True):
        st.session_state[key] = int(min(max(round(float(place)), 0), size - 1))


def crosshair() -> tuple[int, int, int]:
    """Where the three planes meet, in voxels."""
    i, j, k = (int(st.session_state[key]) for key in SLIDERS)
    return i, j, k
