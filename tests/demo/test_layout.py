import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layout import PITCH_MM, _complete, _spread

heights = st.lists(st.floats(-300, 300), min_size=7, max_size=7)


@given(heights)
@settings(max_examples=60, deadline=None)
def test_rows_fall_from_the_skull_down_and_never_touch(values: list[float]) -> None:
    rows = _spread(values)
    assert (np.diff(rows) <= -PITCH_MM + 1e-9).all()


def test_rows_with_room_stay_at_their_own_height() -> None:
    values = [100.0 - 15 * n for n in range(7)]
    assert _spread(values) == pytest.approx(values)


def test_rows_without_room_move_apart_evenly() -> None:
    assert _spread([10.0, 10.0]) == pytest.approx([10 + PITCH_MM / 2, 10 - PITCH_MM / 2])


def test_levels_in_between_are_interpolated_and_those_beyond_stepped() -> None:
    rows = _complete([None, 50.0, None, 10.0, None, None, None], 0.0)
    assert rows[2] == pytest.approx(30)
    assert rows[0] > 50
    assert np.all(np.diff(rows) < 0)
