"""One study, several variants, side by side along the spine."""

import streamlit as st

from panels.look import show_attention, show_planes
from panels.results import show_numbers, show_verdict_and_picture
from panels.run import show_run
from panels.study import show_study
from panels.take_away import show_diagnostics, show_take_away
from state import visit

left, right = st.columns([1, 3], gap="medium")
with left:
    show_study()
    show_run()
memory = visit()
with right:
    show_verdict_and_picture()
    if memory.study is not None and memory.comparison is None:
        show_planes()
if memory.comparison is not None:
    show_planes()
    show_attention()
    show_numbers()
    show_take_away()
show_diagnostics()
