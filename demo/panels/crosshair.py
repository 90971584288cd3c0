"""The crosshair over the picture of a plane, and clicks that move it."""

from __future__ import annotations

from functools import cache
from typing import Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from marks import crosshair_lines
from plane import SIDE_PX, View
from state import place_crosshair

# It lies over its picture, so that a step sends the one picture that changes; clicks go through it,
# to the picture and to its button. A screen reader passes over it: the text under the pictures
# says where it stands, and the sliders move it.
_HTML: Final = '<div class="crosshair" aria-hidden="true"></div>'
_CSS: Final = """
[class*="st-key-plane_"] { position: relative; }
[class*="st-key-plane_"] img { cursor: crosshair; }
[class*="st-key-plane_"] .stElementContainer:has(.crosshair) {
  position: absolute; inset: 0; pointer-events: none; }
.crosshair { position: relative; width: 100%; aspect-ratio: 1; }
.crosshair i { position: absolute; background: #ffeb3b; }
.crosshair .across { height: 1px; margin-top: -.5px; }
.crosshair .down { width: 1px; margin-left: -.5px; }
"""
_JS: Final = """
export default function ({ parentElement, data, setTriggerValue }) {
  parentElement.querySelector(".crosshair").innerHTML = data.lines;
  const plane = parentElement.closest('[class*="st-key-plane_"]');
  plane.onclick = ({ target, clientX, clientY }) => {
    if (target.tagName === "IMG") {
      const { left, top, width, height } = target.getBoundingClientRect();
      setTriggerValue("click", [(clientX - left) / width, (clientY - top) / height]);
    }
  };
  return () => { plane.onclick = null; };
}
"""


def show_crosshair(view: View, lines: bool) -> None:
    """Lay the crosshair over the picture of a view; a click on the picture moves it there.

    Args:
        view: what the picture shows.
        lines: whether the crosshair is seen; the picture takes clicks all the same.
    """
    key = f"crosshair_{view.plane}"

    def move() -> None:
        right, down = st.session_state[key]["click"]
        place_crosshair(view.to_voxel([right * SIDE_PX, down * SIDE_PX]), view.box)

    data = {"lines": crosshair_lines(view) if lines else ""}
    _component()(key=key, data=data, on_click_change=move)


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "cspine_zoo.crosshair", html=_HTML, css=_CSS, js=_JS, isolate_styles=False
    )
