"""Colours: one a variant in every plot, one a vertebra in every overlay."""

from collections.abc import Sequence
from typing import Final

# Okabe and Ito, "Color Universal Design" (2008), without black, which a dark page swallows, and
# the yellow that a white one does; a grey in their place. Told apart with any dichromacy.
VARIANT_COLOURS: Final = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#666666",
)

# Paul Tol, "Colour Schemes" (SRON technical note, 2021), "light": made for areas over which
# something else must stay readable. The order gives neighbouring vertebrae the most contrast.
LEVEL_COLOURS: Final = {
    1: "#77AADD",
    2: "#EE8866",
    3: "#44BB99",
    4: "#EEDD88",
    5: "#FFAABB",
    6: "#99DDFF",
    7: "#BBCC33",
    8: "#DDDDDD",
}

_INK: Final = {False: "#16202a", True: "#e8edf1"}


def ink(dark: bool) -> str:
    """The colour of words and ticks in a figure on a dark or a light page."""
    return _INK[dark]


NEUTRAL: Final = "#808080"
"""Rules, ticks and shades: half-way, so that it shows on a light page and on a dark one."""


def shade(colour: str, opacity: float) -> str:
    """``#RRGGBB`` with an opacity, as CSS writes it."""
    red, green, blue = rgb(colour)
    return f"rgba({red},{green},{blue},{opacity:g})"


def rgb(colour: str) -> tuple[int, int, int]:
    """``#RRGGBB`` as three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def on(colour: str) -> str:
    """Black or white, whichever reads better on a colour.

    >>> on("#0072B2"), on("#E69F00")
    ('#ffffff', '#000000')
    """
    linear = [(part / 255) ** 2.2 for part in rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Where the contrasts (L + .05) / .05 and 1.05 / (L + .05) of WCAG 2.2 are equal.
    return "#ffffff" if luminance < 0.179 else "#000000"


def variant_colours(chosen: Sequence[str], catalogue: Sequence[str]) -> dict[str, str]:
    """A colour for each chosen variant.

    A variant keeps the colour of its place in the catalogue whatever is chosen beside it; only
    where two would share one does the later take the next that is free.
    """
    colours: dict[str, str] = {}
    for position, name in enumerate(chosen):
        start = catalogue.index(name) if name in catalogue else position
        wheel = [VARIANT_COLOURS[(start + turn) % len(VARIANT_COLOURS)] for turn in range(7)]
        taken = set(colours.values())
        colours[name] = next((colour for colour in wheel if colour not in taken), wheel[0])
    return colours
