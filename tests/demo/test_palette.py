"""Colours stay apart for readers with each kind of colour blindness."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from palette import LEVEL_COLOURS, VARIANT_COLOURS, on, rgb

Vector = NDArray[np.float64]

# Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, table 1, severity 1.0; for linear RGB.
VISION = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}

# IEC 61966-2-1 (sRGB): to CIE XYZ, and its white.
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = TO_XYZ.sum(axis=1)
PAGES = ("#ffffff", "#0f1519")  # backgrounds in .streamlit/config.toml

LEAST = 13.0
"""CIE 1976 colour difference; a just noticeable one is 2.3."""


def linear(colour: str) -> Vector:
    value = np.array(rgb(colour)) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: str, vision: str) -> Vector:
    ratio = TO_XYZ @ np.clip(VISION[vision] @ linear(colour), 0, 1) / WHITE
    cube = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = cube
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(first: str, second: str, vision: str) -> float:
    return float(np.linalg.norm(lab(first, vision) - lab(second, vision)))


def contrast(first: str, second: str) -> float:
    """WCAG 2.2's ratio."""
    dark, light = sorted(float((TO_XYZ @ linear(colour))[1]) for colour in (first, second))
    return (light + 0.05) / (dark + 0.05)


def test_the_simulation_knows_what_cannot_be_told_apart() -> None:
    """Red and green of like brightness."""
    red, green = "#b04000", "#507000"
    assert apart(red, green, "all cones") > 50
    assert apart(red, green, "deuteranopia") < LEAST
    assert lab("#ffffff", "protanopia") == pytest.approx([100, 0, 0], abs=0.1)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_variants_can_be_told_apart(vision: str) -> None:
    for first, second in combinations(VARIANT_COLOURS, 2):
        assert apart(first, second, vision) > LEAST


@pytest.mark.parametrize("vision", VISION)
def test_neighbouring_vertebrae_can_be_told_apart(vision: str) -> None:
    for first, second in pairwise(LEVEL_COLOURS.values()):
        assert apart(first, second, vision) > LEAST


@pytest.mark.parametrize("page", PAGES)
def test_variants_stand_out_from_the_page(page: str) -> None:
    assert all(contrast(colour, page) > 2 for colour in VARIANT_COLOURS)


@pytest.mark.parametrize("colour", VARIANT_COLOURS)
def test_words_on_a_colour_can_be_read(colour: str) -> None:
    assert contrast(on(colour), colour) > 4.5  # WCAG 2.2, AA
