"""Everything that can be carried away, each file made when its button is pressed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

import cspine_zoo as cz
from diagnostics import diagnostics
from downloads import download_button
from recipe import command_line, python_lines
from state import visit


def show_take_away() -> None:
    """Downloads, and the lines of Python that give the same result."""
    memory = visit()
    study, comparison = memory.study, memory.comparison
    if study is None or comparison is None:
        return
    st.subheader("Take away", anchor=False)
    with st.container(horizontal=True):
        download_button(
            "JSON", "comparison.json", "application/json", lambda: json_text(comparison)
        )
        download_button("CSV", "comparison.csv", "text/csv", comparison.to_csv)
        download_button(
            "HTML report",
            "report.html",
            "text/html",
            lambda: cz.to_html(comparison, truth=study.truth or None),
        )
        if comparison.label_map is not None:
            download_button(
                "Label map (NIfTI)",
                "vertebrae.nii.gz",
                "application/gzip",
                lambda: label_map_bytes(comparison),
            )
    with st.expander("The same in Python and on the command line", icon=":material/code:"):
        st.code(python_lines(study, comparison), language="python", wrap_lines=True)
        st.code(command_line(study, comparison), language="bash", wrap_lines=True)


def show_diagnostics() -> None:
    """What to copy into a report of trouble; there as soon as there is anything to tell."""
    memory = visit()
    case = memory.case
    failures = [failure for failure in (case.refusal, case.run_failure) if failure is not None]
    if case.study is None and not failures:
        return
    ct = None if case.study is None else case.study.ct
    with st.expander("Diagnostics to copy", icon=":material/bug_report:"):
        st.code(
            diagnostics(ct, case.comparison, failures, case.peaks), language=None, wrap_lines=True
        )
        st.caption("Versions, device, stages and codes; no name of a file or a patient.")


def json_text(comparison: cz.Comparison) -> str:
    """Every number as JSON; a skipped file's name can hold a patient's, so there are none."""
    return comparison.to_json(file_names=False)


def label_map_bytes(comparison: cz.Comparison) -> bytes:
    """The label map as a compressed NIfTI file."""
    if comparison.label_map is None:
        return b""
    with tempfile.TemporaryDirectory(prefix="cspine-zoo-") as folder:
        path = Path(folder) / "vertebrae.nii.gz"
        cz.write_nifti(comparison.label_map, path)
        return path.read_bytes()
