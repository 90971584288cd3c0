"""Everything that can be carried away, each file made when its button is pressed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st

import cspine_zoo as cz
from state import Study, visit


def show_take_away() -> None:
    """Downloads, and the lines of Python that give the same result."""
    memory = visit()
    study, comparison = memory.study, memory.comparison
    if study is None or comparison is None:
        return
    st.subheader("Take away", anchor=False)
    with st.container(horizontal=True):
        _button("JSON", "comparison.json", "application/json", lambda: json_text(comparison))
        _button("CSV", "comparison.csv", "text/csv", comparison.to_csv)
        _button(
            "HTML report",
            "report.html",
            "text/html",
            lambda: cz.to_html(comparison, truth=study.truth or None),
        )
        if comparison.label_map is not None:
            _button(
                "Label map (NIfTI)",
                "vertebrae.nii.gz",
                "application/gzip",
                lambda: label_map_bytes(comparison),
            )
    with st.expander("The same in Python and on the command line"):
        st.code(python_lines(study, comparison), language="python")
        st.code(command_line(comparison), language="bash")


def _button(label: str, file_name: str, mime: str, make: Callable[[], str | bytes]) -> None:
    st.download_button(label, make, file_name, mime, on_click="ignore", icon=":material/download:")


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


def python_lines(study: Study, comparison: cz.Comparison) -> str:
    """Python that repeats the run; an upload's name is left to its owner."""
    source = '"study.zip"'
    if study.sample:
        source = f'next(s.path for s in cz.sample_studies() if s.name == "{study.sample}")'
    names = ", ".join(f'"{name}"' for name in comparison.models())
    return (
        "import cspine_zoo as cz\n\n"
        f"ct = cz.read_ct({source})\n"
        f"result = cz.compare(ct, [{names}])\n"
        "print(result.to_json())"
    )


def command_line(comparison: cz.Comparison) -> str:
    """The command that repeats the run."""
    models = " ".join(f"--model {name}" for name in comparison.models())
    return f"cspine-zoo predict STUDY {models} --out result --format json,csv,html,nifti"
