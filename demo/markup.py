"""Small pieces of HTML; every text that goes in comes out escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

import streamlit as st

from jobs import Failure


def variant_lines(lines: Mapping[str, tuple[str, str]], truth: str = "") -> str:
    """Name, colour and sentence of each variant under each other, then what is known.

    Args:
        lines: colour and sentence by name; an empty colour makes an empty square.
        truth: a sentence; empty where nothing is known.
    """
    told = [
        f'<div class="variant"><span class="swatch" style="{_fill(colour)}"></span>'
        f"<span><b>{escape(name)}</b> {escape(text)}</span></div>"
        for name, (colour, text) in lines.items()
    ]
    if truth:
        told.append(f'<div class="variant"><span>◆</span><b>{escape(truth)}</b></div>')
    return "".join(told)


def _fill(colour: str) -> str:
    if not colour:
        return "box-shadow: inset 0 0 0 1.5px currentColor"
    return f"background:{escape(colour)}"


def legend(colours: Mapping[str, str]) -> str:
    """Names with their colours in a row that wraps."""
    chips = "".join(
        f'<span class="chip"><span class="swatch" style="{_fill(colour)}"></span>'
        f"{escape(name)}</span>"
        for name, colour in colours.items()
    )
    return f'<div class="chips">{chips}</div>'


class Notice(Protocol):
    """Something that a report wants its reader to know."""

    @property
    def code(self) -> str:
        """Stable identifier."""

    @property
    def message(self) -> str:
        """One sentence, which may quote the study."""


def show_notices(notices: Sequence[Notice]) -> None:
    """Warnings under each other; nothing at all without any."""
    if notices:
        lines = "".join(
            f"<li><code>{escape(notice.code)}</code> {escape(notice.message)}</li>"
            for notice in notices
        )
        st.html(f'<ul class="notices">{lines}</ul>')


def show_failure(failure: Failure, file: str = "") -> None:
    """A refusal or failure: what, why, which file, and what to do. Names are shown as text."""
    with st.container(border=True):
        st.markdown(f":red[:material/error: **That did not work**] `{failure.code}`")
        st.text(failure.reason)
        if file or failure.file:
            st.text(f"File: {file or failure.file}")
        if failure.hint:
            st.text(f"What to do: {failure.hint}")
        if failure.details:
            with st.expander("Details to copy"):
                st.code(failure.details, language=None)
