"""Whether a localizer looks for regions of fracture too, where the zoo has one with weights."""

from __future__ import annotations

from typing import Final

import streamlit as st

import cspine_zoo as cz

TASK: Final = "fracture-localization"
_NONE: Final = "No localizer"


def choose_localizer() -> str | None:
    """Name of the localizer to run beside the variants; asks nothing where none has weights."""
    names = [row.name for row in cz.list_models(task=TASK) if row.available != "none"]
    if not names:
        return None
    chosen: str = st.selectbox(
        "Regions of fracture",
        [_NONE, *names],
        index=1,
        key="localizer",
        persist_state="session",
        help="Heat and boxes on the slices, by a network of their own; the variants' "
        "probabilities do not depend on it.",
    )
    return None if chosen == _NONE else chosen
