import tracemalloc

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.attributes.registry import build
from tests.attributes.music import bar, melody, note, piece

MIN = build("polyphony_quantile", {"mode": "min"})
MAX = build("polyphony_quantile", {"mode": "max"})
BAR_MAX = build("polyphony_quantile", {"mode": "max", "level": "bar"})


def test_a_line_and_a_chord():
    # three voices in the last quarter, one before
    score = piece(melody(bar(note(60, 0, 48), note(64, 36, 12), note(67, 36, 12))))

    assert MIN.compute(score, 0) == 1
    assert MAX.compute(score, 0) == 3


def test_rests_do_not_count():
    score = piece(melody(bar(note(60, 0, 6), note(64, 0, 6)), bar(), bar()))

    assert MIN.compute(score, 0) == 2


def test_the_last_tick_is_not_counted():
    assert MAX.compute(piece(melody(bar(note(60, 0, 1)))), 0) == 0
    assert MAX.compute(piece(melody(bar(note(60, 0, 2)))), 0) == 1


def test_notes_ring_over_the_barline_of_a_track_but_not_of_a_bar():
    score = piece(melody(bar(note(60, 0, 96)), bar(note(64, 0, 48))))

    assert MAX.compute(score, 0) == 2
    assert BAR_MAX.compute(score, 0, 1) == 1


def test_a_cut_bar_is_as_long_as_it_sounds():
    # the second bar starts two quarters after the first, while its note still sounds
    short = Bar([note(60, 0, 48)], beat_length=2.0)
    score = piece(melody(short, bar(note(64, 0, 48))))

    assert MAX.compute(score, 0) == 2


def test_notes_before_the_first_bar_are_clipped():
    score = piece(melody(bar(note(60, -12, 24), note(64, -24, 12))))

    assert MAX.compute(score, 0) == 1


def test_levels():
    assert [MAX.quantize(voices) for voices in (0, 1, 2, 10, 11)] == [0, 0, 1, 9, 9]


@pytest.mark.parametrize("ticks", [2**31 - 1, 2**40])
def test_long_notes_take_no_memory(ticks):
    score = Score([Track([Bar([Note(60, 90, 0, ticks), Note(64, 90, 0, ticks // 2)])])])
    tracemalloc.start()

    try:
        assert MIN.compute(score, 0) == 1
        assert MAX.compute(score, 0) == 2
        assert BAR_MAX.compute(score, 0, 0) == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_labels():
    assert MIN.value_labels()[0] == "1 voice"
    assert MIN.value_labels()[9] == "10+ voices"
