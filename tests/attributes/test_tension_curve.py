import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from midigpt.attributes.table import NoteTable
from midigpt.attributes.tension_curve import _slope, bar_tension, follow
from tests.attributes.music import bar, melody, note, piece

RISE = np.arange(60.0)


def test_a_rise_is_followed():
    curve = follow(RISE)

    assert curve[:2].tolist() == [0.0, 1.0]
    assert (np.diff(curve) >= 0).all()


def test_a_rise_that_goes_on_counts_twice():
    # without memory the curve would stay below the rise
    assert follow(RISE)[-1] > 1.2 * RISE[-1]


def test_a_fall_is_a_rise_upside_down():
    assert follow(-RISE) == pytest.approx(-follow(RISE))


def test_without_change_tension_slowly_fades():
    steps = np.diff(follow(np.zeros(60)))

    assert steps.min() < 0
    assert steps.max() == 0
    assert steps.min() >= -0.001


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5, 29, 30, 31, 32, 33, 34, 61])
def test_lengths(samples):
    assert len(follow(np.linspace(0, 1, samples))) == samples


@given(hnp.arrays(np.float64, st.integers(2, 120), elements=st.floats(-5, 5)))
def test_the_curve_has_no_steps_where_windows_join(feature):
    curve = follow(feature)

    slopes = [abs(_slope(feature[max(a, 0) : a + 30])) for a in range(-28, len(feature), 3)]
    assert len(curve) == len(feature)
    assert abs(np.diff(curve)).max() <= 2 * max(slopes) + 0.001 + 1e-9


@given(hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-5, 5)))
def test_slope_is_that_of_least_squares(values):
    assert _slope(values) == pytest.approx(np.polyfit(range(len(values)), values, 1)[0], abs=1e-9)


def test_the_slope_of_one_value_is_flat():
    assert _slope(np.array([3.0])) == 0.0


def test_a_bar_without_samples():
    # a 64th lasts 31 milliseconds
    tiny = [bar(meter=(1, 64))] * 2
    values = bar_tension(
        NoteTable(piece(melody(*tiny, bar(note(60, 0, 48)), bar(note(62)), bar()))), 0
    )

    assert values[1] == 0.0
    assert values[2] != 0.0
