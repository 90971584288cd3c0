import base64
import io
import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

import cspine_zoo as cz
from cspine_zoo.results import Comparison
from figures.attention import attention_figure
from figures.heatmap import heatmap_figure
from figures.spine import SpineContent, spine_figure
from figures.timings import timings_figure
from layout import spine_layout
from palette import VARIANT_COLOURS, ink, variant_colours
from tests.demo.neck import comparison, geometry, neck, prediction
from viewer import Look, data_uri, strip_jpeg

TRUTH = {level: int(level == "C5") for level in cz.LEVELS} | {cz.PATIENT_OVERALL: 1}


def colours(result: Comparison) -> dict[str, str]:
    return variant_colours(result.models(), result.models())


def picture(result: Comparison, truth: dict[str, int] | None = None) -> go.Figure:
    ct, label_map = neck()
    layout = spine_layout(result, ct.geometry)
    image = data_uri(strip_jpeg(ct, label_map.labels, layout.strip, Look()))
    return spine_figure(
        SpineContent(result, layout, image, colours(result), truth or {}, ink(True))
    )


def bars(figure: go.Figure, model: str, axis: str = "y") -> Any:
    return next(t for t in figure.data if t.type == "bar" and t.name == model and t.yaxis == axis)


def numbers(figure: go.Figure, model: str, axis: str = "y") -> Any:
    name = f"numbers of {model}"
    return next(t for t in figure.data if t.name == name and t.yaxis == axis)


def test_a_bar_a_variant_stands_at_the_height_of_its_vertebra() -> None:
    result = comparison()
    figure = picture(result)
    rows = spine_layout(result, geometry()).rows
    stacked = np.array([bars(figure, model).y for model in result.models()])
    np.testing.assert_allclose(stacked.mean(axis=0), [row.row_mm for row in rows])
    assert all(row.row_mm == pytest.approx(row.centre_mm) for row in rows)
    assert (np.diff(stacked, axis=0) < 0).all()  # the first variant is on top


def test_bars_carry_number_level_colour_and_threshold() -> None:
    result = comparison()
    figure = picture(result)
    bar = bars(figure, "cls-bigru-lite0")
    assert bar.x[4] == 0.84
    assert numbers(figure, "cls-bigru-lite0").text[4].strip() == "0.84"
    assert list(bar.customdata[4]) == ["C5", "cls-bigru-lite0"]
    assert bar.marker.color == colours(result)["cls-bigru-lite0"]
    tick = next(t for t in figure.data if t.name == "threshold of cls-bigru-lite0")
    assert {x for x in tick.x if x is not None} == {0.5}


def test_a_number_stands_clear_of_the_threshold() -> None:
    figure = picture(comparison([prediction("a", {"C1": 0.45, "C2": 0.6, "C3": 0.1}, 0.5)]))
    assert list(numbers(figure, "a").x[:3]) == [0.5, 0.6, 0.1]


def test_the_patient_is_the_last_row() -> None:
    figure = picture(comparison())
    bar = bars(figure, "cls-bigru-attention-lite0", "y2")
    (number,) = numbers(figure, "cls-bigru-attention-lite0", "y2").text
    assert number.strip() == "0.97"
    assert bar.customdata[0][0] == cz.PATIENT_OVERALL
    axes = figure.layout
    assert axes.yaxis2.domain[1] < axes.yaxis.domain[0]


def test_rows_are_shaded_exactly_where_variants_disagree() -> None:
    result = comparison()
    figure = picture(result)
    rows = spine_layout(result, geometry()).rows
    shaded = [
        round((s.y0 + s.y1) / 2, 3)
        for s in figure.layout.shapes
        if s.name == "disagree" and s.yref == "y"
    ]
    assert shaded == [round(row.row_mm, 3) for row in rows if row.level in ("C5", "C6")]


def test_truth_is_marked_where_it_is_known_and_nowhere_else() -> None:
    assert not [t for t in picture(comparison()).data if t.name == "truth"]
    marks = [t for t in picture(comparison(), TRUTH).data if t.name == "truth"]
    symbols = [symbol for mark in marks for symbol in mark.marker.symbol]
    assert symbols.count("diamond") == 2  # C5 and the patient
    assert symbols.count("diamond-open") == 6


def test_a_level_that_was_not_found_keeps_its_row_without_bars() -> None:
    result = comparison([prediction(name, {"C7": None}, 0.2) for name in ("a", "b")])
    figure = picture(result)
    assert bars(figure, "a").x[6] == 0
    assert len(numbers(figure, "a").text) == 6
    assert any("not found" in (note.text or "") for note in figure.layout.annotations)
    rows = spine_layout(result, geometry()).rows
    assert rows[6].centre_mm is None
    assert rows[6].row_mm < rows[5].row_mm


def test_nothing_found_still_makes_a_picture() -> None:
    nothing = dict.fromkeys(cz.LEVELS)
    figure = picture(comparison([prediction("a", nothing, None)]))
    assert not numbers(figure, "a").text


def test_the_slice_is_a_jpeg_as_high_as_the_rows() -> None:
    result = comparison()
    image = picture(result).layout.images[0]
    assert image.source.startswith("data:image/jpeg;base64,")
    strip = spine_layout(result, geometry()).strip
    assert image.y == strip.top_mm
    assert image.sizey == pytest.approx(strip.top_mm - strip.bottom_mm)
    decoded = Image.open(io.BytesIO(base64.b64decode(image.source.split(",")[1])))
    assert decoded.width / decoded.height == pytest.approx(strip.width_mm / image.sizey, rel=0.01)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_any_number_of_variants(count: int) -> None:
    result = comparison([prediction(f"v{n}", {"C3": n / 10}, n / 10) for n in range(count)])
    for figure in (
        picture(result, TRUTH),
        heatmap_figure(result, TRUTH, ink(False)),
        attention_figure(result, ["C3"], colours(result), ink(False)),
        timings_figure(result, colours(result), ink(False)),
    ):
        assert json.loads(figure.to_json())["data"]


def test_figures_weigh_little() -> None:
    """What a run sends once; a full volume would be tens of megabytes."""
    assert len(picture(comparison(), TRUTH).to_json()) < 150_000


def test_heat_map_has_a_number_in_every_cell_and_a_row_for_the_mean() -> None:
    figure = heatmap_figure(comparison(), TRUTH, ink(False))
    cells = figure.data[1].text
    assert len(cells) == 4 * 8
    assert cells[4] == "0.22"
    assert cells[8 + 4] == "0.84*"
    assert cells[3 * 8 + 4] == "0.66"  # over every threshold, and without one of its own
    assert list(figure.data[0].y) == ["cnn", "bigru", "bigru-attention", "mean of three"]
    assert list(figure.data[0].z[3]) == [None] * 8


def test_heat_map_shows_the_side_of_the_threshold_however_close() -> None:
    close = comparison([prediction("a", {"C1": 0.499, "C2": 0.5, "C3": 0.0, "C4": 1.0}, 0.1)])
    under, over, none, full = heatmap_figure(close, {}, ink(False)).data[0].z[0][:4]
    assert over - under > 0.15
    assert (none, full) == (0, 1)


def test_heat_map_leaves_levels_that_were_not_scored_empty() -> None:
    figure = heatmap_figure(comparison([prediction("a", {"C1": None}, 0.1)]), {}, ink(False))
    assert figure.data[1].text[0] == "–"
    assert figure.data[0].z[0][0] is None


def test_attention_has_one_bar_a_slice_and_tells_where_it_is() -> None:
    result = comparison()
    figure = attention_figure(result, ["C5"], colours(result), ink(False))
    strip = next(t for t in figure.data if t.type == "bar" and t.name == "cls-bigru-lite0")
    assert len(strip.x) == 9
    assert sum(strip.y) == pytest.approx(1)
    heights = [point[1] for point in strip.customdata]
    assert heights == sorted(heights, reverse=True)
    assert {point[0] for point in strip.customdata} == {"C5"}


def test_attention_of_all_levels_stands_in_the_order_of_the_spine() -> None:
    result = comparison()
    figure = attention_figure(result, cz.LEVELS, colours(result), ink(False))
    strip = next(t for t in figure.data if t.type == "bar")
    assert [point[0] for point in strip.customdata[::9]] == list(cz.LEVELS)


def test_a_variant_without_shares_shows_its_slice_probabilities() -> None:
    result = comparison()
    figure = attention_figure(result, ["C5"], colours(result), ink(False))
    strip = next(t for t in figure.data if t.type == "bar" and t.name == "cls-cnn-lite0")
    assert max(strip.y) == pytest.approx(0.22)


def test_attention_without_any_slices_says_so() -> None:
    result = comparison([prediction("a", {"C4": None}, 0.1)])
    figure = attention_figure(result, ["C4"], colours(result), ink(False))
    assert any("no slices" in note.text for note in figure.layout.annotations)


def test_timings_add_up_and_name_their_stage() -> None:
    result = comparison()
    figure = timings_figure(result, colours(result), ink(False))
    assert [trace.name for trace in figure.data] == ["read", "prepare", "segment", "classify"]
    assert sum(trace.x[0] for trace in figure.data) == pytest.approx(4.5)
    assert list(figure.data[3].marker.color) == list(colours(result).values())


def test_a_variant_keeps_its_colour_whatever_is_chosen_beside_it() -> None:
    names = ["a", "b", "c"]
    assert variant_colours(["c"], names)["c"] == variant_colours(names, names)["c"]
    many = [str(n) for n in range(12)]
    chosen = variant_colours(["0", "7", "1"], many)  # 0 and 7 fall on the same colour
    assert len(set(chosen.values())) == 3
    assert set(chosen.values()) <= set(VARIANT_COLOURS)
