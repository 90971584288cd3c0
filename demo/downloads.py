"""Files that are made when their button is pressed, and stay until the browser has them.

Streamlit maps what a deferred button makes to no session, so that whichever session next comes to
its end sweeps it away: with many visitors, before the browser has asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread
from typing import Final

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

_turn: Final = Lock()
"""One file is made at a time: a report needs far more memory while it is made than afterwards."""


def download_button(label: str, file_name: str, mime: str, make: Callable[[], str | bytes]) -> None:
    """A button that makes its file when it is pressed.

    Args:
        label: of the button.
        file_name: that the browser proposes.
        mime: type of the file.
        make: its content; called on another thread.
    """
    context = get_script_run_ctx()

    def made() -> bytes:
        with _turn:
            content = make()
        data = content.encode() if isinstance(content, str) else content
        if context is not None and runtime.exists():
            keeper = Thread(target=_keep, args=(data, mime, file_name), name="cspine-zoo-keeper")
            add_script_run_ctx(keeper, context)  # by it the file is known as this session's
            keeper.start()
            keeper.join()
        return data

    st.download_button(label, made, file_name, mime, on_click="ignore", icon=":material/download:")


def _keep(data: bytes, mime: str, file_name: str) -> None:
    """Let the session hold a file until its page next runs, or closes."""
    manager = runtime.get_instance().media_file_mgr
    manager.add(data, mime, f"kept {file_name}", file_name, is_for_static_download=True)
