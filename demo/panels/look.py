"""Looking at the scan: three linked planes, and under them what each variant looked at."""

from __future__ import annotations

from typing import Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

import cspine_zoo as cz
from figures.attention import attention_figure
from markup import legend
from palette import LEVEL_COLOURS
from panels.results import PLOT_CONFIG, colours_of, page_ink
from pointing import most_suspicious, neck_box
from state import SLIDERS, Study, crosshair, point_crosshair, visit
from viewer import WINDOWS, Box, Look, Plane, across, plane_jpeg

_PLANES: Final[tuple[tuple[Plane, str], ...]] = (
    ("axial", "feet → head"),
    ("coronal", "back → front"),
    ("sagittal", "left → right"),
)
_LABEL_NAMES: Final = (*cz.LEVELS, "T1 and below")
_ALL: Final = "All"


@st.fragment
def show_planes() -> None:
    """Axial, coronal and sagittal through one crosshair; only this part reruns on a step."""
    memory = visit()
    study = memory.study
    if study is None:
        return
    st.subheader("Look", anchor=False)
    label_map = memory.comparison.label_map if memory.comparison else None
    labels = None if label_map is None else label_map.labels
    box = neck_box(memory.comparison, study.ct.geometry) if memory.comparison else None
    look = _choose_look(labels is not None, box)
    for column, (plane, direction) in zip(st.columns(3), _PLANES, strict=True):
        axis = across(plane)
        with column:
            # The slider is drawn below the picture but must be read before it is made.
            picture = st.container()
            st.slider(
                f"{plane.capitalize()} slice, {direction}",
                0,
                study.ct.geometry.shape[axis] - 1,
                key=SLIDERS[axis],
                persist_state="session",
            )
            with picture:
                st.image(
                    plane_jpeg(study.ct, labels, plane, crosshair(), look),
                    width="stretch",
                    alt=f"{plane} slice through the crosshair",
                )
    _show_readout(study, labels)


def _choose_look(overlay: bool, box: Box | None) -> Look:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        window = st.segmented_control(
            "Window",
            list(WINDOWS),
            default="Bone",
            required=True,
            key="window",
            persist_state="session",
        )
        opacity = st.slider(
            "Vertebra overlay, %",
            0,
            100,
            35,
            key="opacity",
            persist_state="session",
            disabled=not overlay,
            width=260,
        )
        lines = st.toggle("Crosshair", value=True, key="lines", persist_state="session")
        near = st.toggle(
            "Neck only", value=True, key="near", persist_state="session", disabled=box is None
        )
    return Look(window, opacity / 100, lines, box if near else None)


def _show_readout(study: Study, labels: NDArray[np.uint8] | None) -> None:
    at = crosshair()
    x, y, z = (float(value) for value in study.ct.geometry.to_world([float(n) for n in at]))
    hu = float(study.ct.hu[at])
    text = f"**{hu:.0f} HU** at the crosshair, voxel {at}, x {x:.1f}, y {y:.1f}, z {z:.1f} mm"
    if labels is not None:
        value = int(labels[at])
        text += f", in **{_LABEL_NAMES[value - 1] if value else 'no vertebra'}**"
    st.markdown(text)
    if labels is not None:
        st.html(legend(dict(zip(_LABEL_NAMES, LEVEL_COLOURS.values(), strict=True))))
    st.caption(
        "Radiological view: the patient's right (R) is on the left of the picture. "
        "A anterior, P posterior, S towards the head, I towards the feet."
    )


@st.fragment
def show_attention() -> None:
    """Shares of the slices, variant by variant; a click takes the planes to the slice."""
    memory = visit()
    comparison = memory.comparison
    if comparison is None:
        return
    if memory.jumped:
        memory.jumped = False
        st.rerun()
    st.subheader("What each variant looked at", anchor=False)
    st.session_state.setdefault("attention_level", most_suspicious(comparison))
    level = st.segmented_control(
        "Vertebra",
        [*cz.LEVELS, _ALL],
        required=True,
        key="attention_level",
        persist_state="session",
    )
    levels = [level] if level in cz.LEVELS else list(cz.LEVELS)
    st.plotly_chart(
        attention_figure(comparison, levels, colours_of(comparison), page_ink()),
        key="attention",
        on_select=_jump,
        selection_mode="points",
        config=PLOT_CONFIG,
        alt="Share of each slice in the score of the vertebra, one strip a variant",
    )
    st.caption(
        "Bar: share of the slice in the variant's score of the vertebra; ring: the slice's own "
        "probability, 0 at the bottom and 1 at the top of the strip. Click a bar to see the slice."
    )


def _jump() -> None:
    memory = visit()
    points = st.session_state["attention"].selection.points
    if not points or memory.study is None or memory.comparison is None:
        return
    level, position_mm, model = points[0]["customdata"][:3]
    index = memory.comparison.models().index(model)
    centre = memory.comparison.predictions[index].vertebra(level).centroid_mm
    if centre is not None:
        point_crosshair(memory.study.ct, (centre[0], centre[1], position_mm))
        memory.jumped = True
