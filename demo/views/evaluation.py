"""How the bundled classifiers did on studies whose truth is known."""

import streamlit as st

from panels.evaluation import (
    gather,
    show_calibration,
    show_commands,
    show_halves,
    show_levels,
    show_overview,
    show_pair,
    show_roc,
)

st.title("Evaluation", anchor=False)
st.warning(
    "**Synthetic CT, not clinical accuracy.** Everything here was measured on CT that this package "
    "drew itself. It tells which variant learned more of that world, and nothing about how often "
    "any of them would be right on a patient.",
    icon=":material/warning:",
)
stored = gather()
if not stored:
    st.info(
        "No classifier at hand comes with a stored evaluation. `cspine-zoo bundle FILE "
        "--evaluation DIR` stores one."
    )
else:
    show_overview(stored)
    show_roc(stored)
    show_calibration(stored)
    show_levels(stored)
    show_halves(stored)
    show_pair(stored)
    show_commands(stored)
