"""What the page remembers: models for everyone, studies for those who hold their key."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

import streamlit as st
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

import cspine_zoo as cz
import work
from cases import Case, Shelf
from cases import Study as Study  # panels take it from here
from jobs import Failure, Lane, Ticket
from memory import give_back, keep_together
from plane import Points
from process import WorkerProcess
from twins import Nursery

SLIDERS: Final = ("slice_i", "slice_j", "slice_k")
"""Keys of the crosshair's sliders, along I, J and K."""

LINK: Final = "job"
"""Name of the key in the page's address."""


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
    """One browser session. It holds a key; the study lies on the engine's shelf.

    Attributes:
        name: of this session among those that look at a case.
        key: of the case that it looks at; empty before the first.
        lost: whether it was sent a key under which nothing is held any more.
        upload_round: makes each uploader a new one, so that Streamlit drops what the last one took.
        arrived: key of the case that the widgets of the page were set to.
        placed: key of the case for whose study, or result, the crosshair was placed.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(8))
    key: str = ""
    lost: bool = False
    upload_round: int = 0
    jumped: bool = False
    arrived: str = ""
    placed: str = ""
    fetches: dict[str, Fetch] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """What this session looks at; an empty case without any."""
        return engine().shelf.find(self.key) or Case(key="")

    @property
    def study(self) -> Study | None:
        """The study that was read."""
        return self.case.study

    @property
    def comparison(self) -> cz.Comparison | None:
        """The result, once there is one."""
        return self.case.comparison

    @property
    def picture(self) -> str:
        """The sagittal cut beside the bars, as a data address."""
        return self.case.picture

    @property
    def refusal(self) -> Failure | None:
        """Why the study was not read."""
        return self.case.refusal

    @property
    def busy(self) -> bool:
        """Whether something is being made for this session."""
        return self.case.intake is not None or self.case.run is not None

    def take(self, case: Case) -> None:
        """Look at a case that this session asked for."""
        self.arrived, self.lost = case.key, False
        self.look_at(case)

    def look_at(self, case: Case) -> None:
        """Leave the case before, and take this one; a linked one stands in the address."""
        context = get_script_run_ctx()
        engine().shelf.show(case, self.name, context.session_id if context else "")
        self.key = case.key
        self.write_link()

    def leave(self) -> None:
        """Look at nothing: what nobody else looks at is dropped."""
        engine().shelf.leave(self.name)
        self._turn_away()

    def delete(self) -> None:
        """Drop study, upload and results, for everybody who looks at them."""
        engine().shelf.forget(self.case)
        self._turn_away()

    def write_link(self) -> None:
        """Let the page's address lead to the case, if it is one to come back to."""
        if self.case.linked:
            st.query_params[LINK] = self.key
        else:
            st.query_params.pop(LINK, None)

    def _turn_away(self) -> None:
        self.key, self.lost = "", False
        self.upload_round += 1
        st.query_params.pop(LINK, None)


def visit() -> Visit:
    """This session's memory."""
    if "visit" not in st.session_state:
        st.session_state["visit"] = Visit()
    memory: Visit = st.session_state["visit"]
    return memory


def follow_link() -> None:
    """Look at the case that the page's address names; called at the start of every page."""
    memory, asked = visit(), st.query_params.get(LINK, "")
    if asked and asked != memory.key:
        case = engine().shelf.find(asked)
        if case is None:
            memory.lost = True
        else:
            memory.look_at(case)
    if memory.key and memory.case.key != memory.key:
        memory.leave()  # deleted by another one who looked at it, or given up during a long gap
        memory.lost = True
    memory.case.settle()
    memory.write_link()


class Engine:
    """What all sessions share: the queues, the models in the workers, and the shelf.

    ``running`` has one worker process for each graphics card, or one for the processor; anything
    in ``work`` can be submitted to it.
    """

    def __init__(self) -> None:
        keep_together()
        self.reading = Lane("cspine-zoo-reader")
        self.making = Lane("cspine-zoo-maker")
        self.fetching = Lane("cspine-zoo-fetcher")
        self.running = Lane("cspine-zoo-runner", WorkerProcess())
        self.nursery = Nursery()
        self.shelf = Shelf(_is_present, _say_farewell, _tidy)
        self.shelf.keep_swept()
        threading.Thread(target=self._employ, name="cspine-zoo-employer", daemon=True).start()

    def _employ(self) -> None:
        """One more worker for each graphics card after the first."""
        ticket = self.running.prepare(work.graphics_cards)
        ticket.wait()
        for card in ticket.result[1:] if ticket.state == "done" else []:
            self.running.employ(WorkerProcess({"CUDA_VISIBLE_DEVICES": card}))


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The one engine of this server."""
    return Engine()


def drop_uploads(files: Sequence[UploadedFile]) -> None:
    """Let Streamlit forget files that were copied out; it would keep them until the page closes."""
    context = get_script_run_ctx()
    if context is None or not isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        return
    for file in files:
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def _is_present(session: str) -> bool:
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


def _say_farewell(session: str) -> None:
    """End a session at once; Streamlit itself would do it when the next but one has left.

    Of the ways to end a session this is the one that may be called on any thread.
    """
    if runtime.exists():
        runtime.get_instance().clear_user_info_for_session(session)


def _tidy() -> None:
    """Give memory back, that of downloads which nobody can ask for any more among it.

    Streamlit marks these once and drops them the next time that it looks, which without another
    visitor is never.
    """
    if runtime.exists():
        runtime.get_instance().media_file_mgr.remove_orphaned_files()
    give_back()


def centre_crosshair(ct: cz.CTVolume) -> None:
    """Put the crosshair in the middle of the study."""
    for key, size in zip(SLIDERS, ct.geometry.shape, strict=True):
        st.session_state[key] = size // 2


def point_crosshair(ct: cz.CTVolume, world_mm: Sequence[float]) -> None:
    """Put the crosshair on a point of the patient, or on the nearest voxel of the study."""
    whole = tuple((0, size) for size in ct.geometry.shape)
    place_crosshair(ct.geometry.to_voxel(world_mm), whole)


def place_crosshair(voxel: Sequence[float] | Points, box: Sequence[tuple[int, int]]) -> None:
    """Put the crosshair on a voxel, or on the nearest one of a box (first, behind the last)."""
    for key, place, (first, behind) in zip(SLIDERS, voxel, box, strict=True):
        st.session_state[key] = min(max(round(float(place)), first), behind - 1)


def crosshair() -> tuple[int, int, int]:
    """Where the three planes meet, in voxels."""
    i, j, k = (int(st.session_state[key]) for key in SLIDERS)
    return i, j, k
