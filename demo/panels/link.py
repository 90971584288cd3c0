"""The address that leads to a job: for reloads, and for those whom its owner sends it."""

import streamlit as st

from cases import LINGER_SECONDS
from state import LINK, Visit

_WHO_SEES_IT = (
    "Whoever has this link sees the study and its result, and can delete them. It holds no image: "
    "it works while this server holds the job, until “Delete now” or "
    f"{LINGER_SECONDS:.0f} seconds after the last page that shows it is closed."
)


def show_link(memory: Visit) -> None:
    """The link to the case that the page shows, once there is something to come back to."""
    case = memory.case
    if not case.linked or (case.run is None and case.comparison is None):
        return
    with st.expander("Link to this job", icon=":material/link:"):
        address = (st.context.url or "").split("?")[0]
        st.code(f"{address}?{LINK}={case.key}", language=None, wrap_lines=True)
        st.caption(_WHO_SEES_IT)
