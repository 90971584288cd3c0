"""What everybody must know before reading a number off this page."""

from typing import Final

import streamlit as st

RESEARCH_ONLY: Final = (
    "Research and education only. Not a medical device. Not for diagnosis or triage. "
    "Not FDA-cleared or CE-marked. Unvalidated on your scanner. Bundled weights were trained on "
    "synthetic CT only and are not validated on patients."
)

# The bar stays at the lower edge of the window on every page and at every scroll position; the
# page ends with room for it, so that it never covers the last line.
_STYLE: Final = """
<style>
.research-only {
  position: fixed; left: 0; right: 0; bottom: 0; z-index: 1000;
  background: #8a3b00; color: #ffffff;
  font-size: 0.8rem; line-height: 1.25; padding: 0.35rem 1rem; text-align: center;
}
.stMainBlockContainer { padding-top: 3.6rem; padding-bottom: 7rem; max-width: 1500px; }
@media (max-width: 640px) {
  .research-only { font-size: 0.68rem; padding: 0.3rem 0.5rem; }
  .stMainBlockContainer { padding-left: 0.9rem; padding-right: 0.9rem; }
}
.variant { display: grid; grid-template-columns: auto 1fr; column-gap: .55rem; margin: .12rem 0; }
.swatch { width: .8rem; height: .8rem; border-radius: 3px; margin-top: .32rem; }
.chips { display: flex; flex-wrap: wrap; gap: .25rem .9rem; }
.chip { display: inline-flex; align-items: center; gap: .35rem; }
.chip .swatch { margin-top: 0; }
.notices { list-style: none; margin: 0; padding: .4rem .7rem; border-left: 4px solid #e69f00;
  background: rgba(230, 159, 0, 0.12); font-size: .9rem; }
.notices li { margin: .1rem 0; overflow-wrap: anywhere; }
</style>
"""


def show_notice() -> None:
    """Draw the bar; called once by the router, for all pages."""
    st.html(_STYLE)
    st.html(f'<div class="research-only" role="note">{RESEARCH_ONLY}</div>')
