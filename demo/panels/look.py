"""Looking at the scan: three linked planes, and under them what each variant looked at."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st
from numpy.typing import NDArray

import cspine_zoo as cz
from figures.attention import attention_figure
from marks import outline_px
from markup import legend
from palette import LEVEL_COLOURS
from panels.crosshair import show_crosshair
from panels.explain import ask_sensitivity, heat_layer, show_findings, show_meaning
from panels.results import PLOT_CONFIG, colours_of, page_ink
from plane import Plane, View, across
from pointing import most_suspicious, neck_box
from state import SLIDERS, Study, crosshair, point_crosshair, visit
from viewer import WINDOWS, Look, Over, plane_jpeg

_PLANES: Final[tuple[tuple[Plane, str], ...]] = (
    ("axial", "feet → head"),
    ("coronal", "back → front"),
    ("sagittal", "left → right"),
)
_LABEL_NAMES: Final = (*cz.LEVELS, "T1 and below")
_ALL: Final = "All"

_STYLE: Final = """
<style>
.ramp { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .5rem; font-size: .9rem; }
.ramp .band { width: 7rem; height: .8rem; border-radius: 3px; background-color: #000; }
</style>
"""


@st.fragment
def show_planes() -> None:
    """Axial, coronal and sagittal through one crosshair; only this part reruns on a step."""
    memory = visit()
    study, comparison = memory.study, memory.comparison
    if study is None:
        return
    st.subheader("Look", anchor=False)
    st.html(_STYLE)
    # What is drawn over the pictures is chosen above and below them, and must be known first.
    controls, pictures, under = st.container(), st.container(), st.container()
    with controls:
        look, lines = _choose_look(study, comparison)
        over = Over() if comparison is None else _choose_heat(comparison)
    with under:
        _show_readout(study, comparison)
        if comparison is not None:
            show_findings(comparison)
            layer = ask_sensitivity(comparison)
            if layer is not None:
                show_meaning(comparison, layer)
                over = Over((*over.layers, layer), over.findings)
    with pictures:
        for column, (plane, direction) in zip(st.columns(3), _PLANES, strict=True):
            view = View(plane, study.ct.geometry, crosshair(), look.box)
            with column:
                _show_plane(study, comparison, view, (look, over), lines)
                axis = across(plane)
                st.slider(
                    f"{plane.capitalize()} slice, {direction}",
                    0,
                    study.ct.geometry.shape[axis] - 1,
                    key=SLIDERS[axis],
                    persist_state="session",
                )


def _show_plane(
    study: Study,
    comparison: cz.Comparison | None,
    view: View,
    looks: tuple[Look, Over],
    lines: bool,
) -> None:
    labels = _labels(comparison)
    with st.container(key=f"plane_{view.plane}"):
        jpeg = _drawn(study, comparison, view, looks)
        st.image(jpeg, width="stretch", alt=picture_text(view, labels, looks[1]))
        show_crosshair(view, lines)


def _drawn(
    study: Study, comparison: cz.Comparison | None, view: View, looks: tuple[Look, Over]
) -> bytes:
    """The picture, drawn only if it is another one than at the last step."""
    look, over = looks
    kept: WeakKeyDictionary[object, dict[Plane, tuple[object, bytes]]] = (
        st.session_state.setdefault("drawn", WeakKeyDictionary())
    )
    pictures = kept.setdefault(comparison or study.ct, {})
    layers = tuple((layer.name, layer.opacity) for layer in over.layers)
    key = (view.slice_index, view.box, look, layers, len(over.findings))
    if view.plane not in pictures or pictures[view.plane][0] != key:
        jpeg = plane_jpeg(study.ct, _labels(comparison), view, look, over)
        pictures[view.plane] = (key, jpeg)
    return pictures[view.plane][1]


def picture_text(view: View, labels: NDArray[np.uint8] | None, over: Over) -> str:
    """What a picture shows, for those who do not see it: plane, slice, levels, what lies over."""
    count = view.geometry.shape[across(view.plane)]
    text = f"{view.plane} slice {view.slice_index + 1} of {count}"
    if labels is not None:
        levels = [_LABEL_NAMES[n - 1] for n in np.unique(view.cut(labels)).tolist() if n]
        text += f" through {', '.join(levels) or 'no vertebra'}"
    met = [f for f in over.findings if outline_px(view, f.box_mm) is not None]
    parts = [f"finding {f.level} {f.score:.2f}" for f in met]
    parts += [layer.name for layer in over.layers if layer.opacity > 0]
    return "; ".join([text, *parts])


def _labels(comparison: cz.Comparison | None) -> NDArray[np.uint8] | None:
    return comparison.label_map.labels if comparison and comparison.label_map else None


def _choose_look(study: Study, comparison: cz.Comparison | None) -> tuple[Look, bool]:
    box = neck_box(comparison, study.ct.geometry) if comparison else None
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
            disabled=_labels(comparison) is None,
            width=260,
        )
        lines = st.toggle("Crosshair", value=True, key="lines", persist_state="session")
        near = st.toggle(
            "Neck only", value=True, key="near", persist_state="session", disabled=box is None
        )
    return Look(window, opacity / 100, box if near else None), lines


def _choose_heat(comparison: cz.Comparison) -> Over:
    """Heat and boxes where a localizer ran; without one there is nothing to choose."""
    if not comparison.heat:
        return Over()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        opacity = st.slider(
            "Fracture heat, %", 0, 100, 60, key="heat", persist_state="session", width=260
        )
        boxes = st.toggle("Finding boxes", value=True, key="boxes", persist_state="session")
    findings = comparison.predictions[0].findings if boxes else ()
    return Over((heat_layer(comparison, opacity / 100),), findings)


def _show_readout(study: Study, comparison: cz.Comparison | None) -> None:
    labels, at = _labels(comparison), crosshair()
    x, y, z = (float(value) for value in study.ct.geometry.to_world([float(n) for n in at]))
    hu = float(study.ct.voxels[at])
    text = f"**{hu:.0f} HU** at the crosshair, voxel {at}, x {x:.1f}, y {y:.1f}, z {z:.1f} mm"
    if labels is not None:
        value = int(labels[at])
        text += f", in **{_LABEL_NAMES[value - 1] if value else 'no vertebra'}**"
    st.markdown(text)
    if labels is not None:
        st.html(legend(dict(zip(_LABEL_NAMES, LEVEL_COLOURS.values(), strict=True))))
    st.caption(
        "Radiological view: the patient's right (R) is on the left of the picture. "
        "A anterior, P posterior, S towards the head, I towards the feet. Click a picture to move "
        "the crosshair."
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
