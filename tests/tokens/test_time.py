import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track
from midigpt.tokens.time import at_resolution


def moved(target, onset, duration=480, delta=0, *, source=480, microtiming=False, nearest=False):
    """Onset, duration and delta of a note brought from one resolution to another."""
    score = Score([Track([Bar([Note(60, 80, onset, duration, delta)])])], source)
    result = at_resolution(score, target, microtiming=microtiming, nearest=nearest)
    note = result.tracks[0].bars[0].notes[0]
    return note.onset_ticks, note.duration_ticks, note.delta


@pytest.mark.parametrize(("onset", "tick"), [(0, 0), (39, 0), (40, 1), (79, 1), (-5, 0)])
def test_onsets_are_floored(onset, tick):
    assert moved(12, onset, delta=7) == (tick, 12, 0)


@pytest.mark.parametrize(("duration", "ticks"), [(0, 1), (39, 1), (80, 2), (-4, 1)])
def test_a_note_lasts_at_least_a_tick(duration, ticks):
    assert moved(12, 0, duration) == (0, ticks, 0)


@pytest.mark.parametrize(
    ("onset", "expected"), [(10, (0, 3)), (20, (0, 6)), (39, (0, 12)), (-10, (0, -3))]
)
def test_microtiming_keeps_what_is_lost(onset, expected):
    tick, _, delta = moved(12, onset, microtiming=True)
    assert (tick, delta) == expected


def test_microtiming_moves_a_decoded_note():
    assert moved(1920, 0, 1, 3, source=12, microtiming=True) == (40, 160, 0)
    assert moved(1920, 0, 1, 5, source=12, microtiming=True) == (66, 160, 1280)


@pytest.mark.parametrize(
    ("onset", "expected"),
    [(10, (0, 3)), (20, (0, 6)), (30, (1, -3)), (1910, (47, 9)), (-9, (0, -3))],
)
def test_the_nearest_tick_is_one_of_the_same_bar(onset, expected):
    tick, _, delta = moved(12, onset, microtiming=True, nearest=True)
    assert (tick, delta) == expected


def test_the_nearest_tick_without_microtiming():
    assert moved(12, 30, nearest=True) == (1, 12, 0)


def test_an_onset_past_its_bar_stays_there():
    assert moved(12, 2000, nearest=True) == (50, 12, 0)


def test_everything_else_is_kept():
    bar = Bar([], 3, 8, beat_length=1.25, future=True)
    score = Score([Track([bar], 7, "drum", {"nomml": 3})], 480, 600_000)
    result = at_resolution(score, 12, microtiming=False)
    assert result == Score([Track([bar], 7, "drum", {"nomml": 3})], 12, 600_000)
    assert result.tracks[0].attributes is not score.tracks[0].attributes


def test_a_score_already_there_is_the_same_object():
    score = Score(resolution=12)
    assert at_resolution(score, 12, microtiming=True) is score


@given(onset=st.integers(0, 7679), source=st.sampled_from([24, 96, 220, 480, 960, 1920]))
def test_microtiming_is_exact_to_a_twelfth_of_a_tick(onset, source):
    tick, _, delta = moved(12, onset, source=source, microtiming=True)
    assert abs((tick + delta / 12) / 12 - onset / source) <= 1 / 288 + 1e-9
    assert 0 <= delta <= 12
