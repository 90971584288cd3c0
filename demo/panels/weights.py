"""One's own weights: brought, checked, and a variant like the others for this session only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import streamlit as st

import cspine_zoo as cz
from jobs import Failure, Ticket, failure_of
from markup import show_failure
from own import OwnWeights, check, marked_name
from state import drop_uploads, engine
from uploads import Spool

VARIANTS: Final = "variants"
"""Key of the choice of variants, to which checked weights are added."""

LIMIT_MB: Final = 200
"""The largest network of the zoo has 46 million parameters: 183 MB in single precision."""

_ASKED: Final = "add_weights"
_TOLD: Final = (
    "A classifier's .safetensors file as `cspine-zoo train`, `calibrate` or `convert` writes it, "
    f"up to {LIMIT_MB} MB. It is checked like the zoo's own, offered to you alone, and gone with "
    "“Delete now” or when you leave."
)


@dataclass
class Locker:
    """What a session brought.

    Attributes:
        held: checked weights by name, with the directory that each lies in.
        waiting: an upload and the check of it.
        refusal: of the last one.
        round: makes each uploader a new one, so that Streamlit drops what the last one took.
    """

    held: dict[str, tuple[OwnWeights, Spool]] = field(default_factory=dict)
    waiting: tuple[Spool, Ticket[cz.ManifestEntry]] | None = None
    refusal: Failure | None = None
    round: int = 0

    def take(self, spool: Spool) -> None:
        """Have an upload checked where models are run."""
        self.refusal = None
        self.waiting = (spool, engine().running.submit(check, spool.source))

    def settle(self) -> str:
        """Turn a finished check into a variant or a refusal; the name of a new variant."""
        if self.waiting is None or not self.waiting[1].over:
            return ""
        (spool, ticket), self.waiting = self.waiting, None
        if ticket.state != "done":
            failure = ticket.progress.failure or Failure("cancelled", "The check was stopped.")
            self.refusal = _in_his_words(failure, spool)
            spool.delete()
            return ""
        entry = ticket.result
        name = marked_name(entry.name, self.held)
        self.held[name] = (OwnWeights(name, spool.source, entry), spool)
        return name

    def delete(self, name: str) -> None:
        """Remove a file now."""
        _, spool = self.held.pop(name)
        spool.delete()
        chosen = st.session_state.get(VARIANTS, [])
        st.session_state[VARIANTS] = [other for other in chosen if other != name]


def own_weights() -> Mapping[str, OwnWeights]:
    """What this session can run besides the zoo's models."""
    return {name: own for name, (own, _) in _locker().held.items()}


def settle_own_weights() -> None:
    """Add weights whose check has just ended to the choice; only before the choice is drawn."""
    name = _locker().settle()
    if name:
        st.session_state[VARIANTS] = [*st.session_state.get(VARIANTS, []), name]
        st.session_state[_ASKED] = False


def show_own_weights() -> None:
    """What this session brought, with "Delete now"; an uploader for those who ask for it."""
    locker = _locker()
    for name in locker.held:
        st.button(
            f"Delete now: {name}",
            icon=":material/delete:",
            key=f"delete_{name}",
            on_click=locker.delete,
            args=(name,),
            width="stretch",
        )
    if locker.waiting is not None:
        _watch_check()
        return
    if locker.refusal is not None:
        show_failure(locker.refusal)
    if st.toggle("Add a weights file", key=_ASKED, persist_state="session"):
        _upload(locker)


def _upload(locker: Locker) -> None:
    chosen = st.file_uploader(
        "Upload a weights file",
        max_upload_size=LIMIT_MB,
        key=f"weights_{locker.round}",
        label_visibility="collapsed",
    )
    st.caption(_TOLD)
    if chosen is None:
        return
    locker.round += 1
    try:
        locker.take(Spool([chosen]))
    except cz.CSpineZooError as error:
        locker.refusal = failure_of(error)
    drop_uploads([chosen])
    st.rerun()  # with a new uploader, which shows no file


@st.fragment(run_every=0.4)
def _watch_check() -> None:
    waiting = _locker().waiting
    if waiting is None or waiting[1].over:
        st.rerun()
        return
    ahead = engine().running.ahead(waiting[1])
    st.status(f"Waiting, {ahead} before you" if ahead else "Checking the weights")


def _locker() -> Locker:
    if "locker" not in st.session_state:
        st.session_state["locker"] = Locker()
    locker: Locker = st.session_state["locker"]
    return locker


def _in_his_words(failure: Failure, spool: Spool) -> Failure:
    """With the uploader's name in place of this server's path."""
    file = spool.original(failure.file) if failure.file else ""
    reason = failure.reason.replace(str(spool.source), spool.title).replace(
        spool.source.name, spool.title
    )
    return replace(failure, reason=reason, file=file)
