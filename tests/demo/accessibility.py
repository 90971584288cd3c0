"""What keyboard and screen reader meet on a page, asked of the browser itself."""

from typing import Any, Final

_NAMED_ROLES: Final = {
    "button",
    "checkbox",
    "combobox",
    "figure",
    "image",
    "link",
    "radio",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
}

_MARK: Final = """() =>
  document.addEventListener('focusin', event => { event.target.dataset.met = 'yes'; })"""

_THROUGH: Final = "() => document.activeElement === document.body"

_MISSED: Final = """() => [...document.querySelector('.stMain').querySelectorAll(
    'button, a[href], input, textarea, summary, [role=slider]')]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && !e.dataset.met)
  // Of a group of radio buttons one is reached, the arrow keys lead to the others.
  .filter(e => !(e.role === 'radio' && e.closest('[role=radiogroup]')?.querySelector('[data-met]')))
  .filter(e => e.tabIndex >= 0)
  .map(e => e.outerHTML.slice(0, 200))"""


_ROUNDS: Final = 2
"""What was drawn during the first one is come to in the second."""

_MOST_STOPS: Final = 400


def nameless(page: Any) -> list[str]:
    """What a screen reader could not name, of all that can be used or looked at."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    without = [
        f"{node['role']['value']} {_attributes(session, node['backendDOMNodeId'])}"
        for node in nodes
        if not node.get("ignored")
        and node["role"]["value"] in _NAMED_ROLES
        and not node.get("name", {}).get("value")
    ]
    # A plot's name is that of the figure around plotly's drawings.
    return [told for told in without if "main-svg" not in told and "plotly-tester" not in told]


def _attributes(session: Any, node: int) -> str:
    described = session.send("DOM.describeNode", {"backendNodeId": node})["node"]
    return " ".join([described["nodeName"], *described.get("attributes", [])])


def unreached(page: Any) -> list[str]:
    """Buttons, links and inputs of the page that the Tab key never comes to."""
    page.locator(".stApp[data-test-script-state=notRunning]").wait_for()  # all of it is there
    page.evaluate(_MARK)
    page.get_by_text("Skip to main content").focus()  # the first of every page
    for _ in range(_ROUNDS):
        for _ in range(_MOST_STOPS):
            page.keyboard.press("Tab")
            if page.evaluate(_THROUGH):
                break
    missed: list[str] = page.evaluate(_MISSED)
    return missed
