"""The zoo: what there is, what it was measured at, and where its weights are."""

import streamlit as st

import cspine_zoo as cz
from tables import metric_rows, model_rows

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
    st.table(model_rows(rows), border="horizontal", hide_index=True)
    st.subheader("Measured", anchor=False)
    for row in rows:
        with st.expander(f"{row.name}, {row.task}"):
            if row.metrics:
                st.table(metric_rows(row), border="horizontal", hide_index=True)
                commands = dict.fromkeys(metric.command for metric in row.metrics)
                st.code("\n".join(commands), language="bash")
            else:
                st.markdown("Nothing has been measured.")
            licence = row.licence
            st.text(
                f"Licences: code {licence.code}, weights {licence.weights}, data {licence.data}"
            )
            st.code(f"cspine-zoo info {row.name}", language="bash")
