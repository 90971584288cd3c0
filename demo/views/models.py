"""The zoo: what there is, what it was measured at, and where its weights are."""

import streamlit as st

import cspine_zoo as cz
from panels.models import chosen_rows, show_card

st.title("Models", anchor=False)
st.markdown(
    "Every row of the zoo's manifest. A figure stands here only with the command that measured "
    "it; the bundled weights were trained on synthetic CT and say nothing about patients."
)
rows = cz.list_models()
if not rows:
    st.info(
        "This installation lists no model. `cspine-zoo train` makes one from synthetic CT; "
        "CONTRIBUTING.md tells how it enters the manifest."
    )
else:
    shown = chosen_rows(rows)
    st.caption(f"{len(shown)} of {len(rows)} models")
    # Pair by pair, so that one after another on a narrow screen they keep their order.
    for start in range(0, len(shown), 2):
        for column, row in zip(st.columns(2, gap="medium"), shown[start : start + 2], strict=False):
            with column:
                show_card(row)
