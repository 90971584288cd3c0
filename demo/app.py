"""The page's front door: ``streamlit run app.py``."""

from pathlib import Path

import streamlit as st

import cspine_zoo as cz
from jobs import Failure
from markup import show_failure
from notice import RESEARCH_ONLY, show_notice
from state import follow_link

st.set_page_config(
    page_title="cspine_zoo: cervical spine fractures on CT",
    page_icon=str(Path(__file__).with_name("icon.svg")),
    layout="wide",
    menu_items={"About": RESEARCH_ONLY},
)
# Not "pages/": Streamlit takes a folder of that name for its older kind of multipage app, and the
# first visitor of a server would get a page without this router and its notice.
page = st.navigation(
    [
        st.Page("views/compare.py", title="Compare", icon=":material/compare:", default=True),
        st.Page("views/models.py", title="Models", icon=":material/model_training:"),
        st.Page("views/evaluation.py", title="Evaluation", icon=":material/monitoring:"),
    ],
    position="top",
)
show_notice()
follow_link()
try:
    page.run()
except cz.CSpineZooError as error:
    show_failure(Failure(error.code, error.reason, error.file, error.hint))
