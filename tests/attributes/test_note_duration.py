import pytest

from midigpt.attributes.registry import build
from tests.attributes.music import bar, drums, melody, note, piece

MIN = build("note_duration_quantile", {"mode": "min"})
MAX = build("note_duration_quantile", {"mode": "max"})
MOST = build("note_duration_dist", {})
NAMES = MIN.value_labels()


@pytest.mark.parametrize(
    ("ticks", "name"),
    [
        (1, "32nd"),
        (3, "16th"),
        (6, "8th"),
        (9, "8th"),
        (12, "quarter"),
        (18, "quarter"),
        (24, "half"),
        (48, "whole"),
        (500, "whole"),
        (0, "32nd"),
    ],
)
def test_note_values(ticks, name):
    score = piece(melody(bar(note(duration=ticks))))

    assert NAMES[MIN.compute(score, 0)] == name


def test_short_and_long_notes():
    score = piece(melody(bar(note(duration=6), note(duration=12), note(duration=24))))

    assert NAMES[MIN.compute(score, 0)] == "8th"
    assert NAMES[MAX.compute(score, 0)] == "half"


def test_drums_play_quarters():
    assert NAMES[MAX.compute(piece(drums(bar(note(duration=1)))), 0)] == "quarter"


def test_bars():
    score = piece(melody(bar(note(duration=6)), bar(note(duration=24))))
    attribute = build("note_duration_quantile", {"mode": "min", "level": "bar"})

    assert [NAMES[attribute.compute(score, 0, b)] for b in (0, 1)] == ["8th", "half"]


def test_the_most_frequent_note_value():
    score = piece(melody(bar(note(duration=6), note(duration=12), note(duration=13))))

    assert MOST.value_labels()[MOST.compute(score, 0)] == "quarter"


def test_of_equally_frequent_values_the_first_counts():
    score = piece(melody(bar(note(duration=24)), bar(note(duration=6))))

    assert MOST.value_labels()[MOST.compute(score, 0)] == "half"


def test_a_track_without_notes_plays_quarters():
    score = piece(melody(bar()), melody(bar(note(duration=6))))

    assert [MOST.compute(score, t) for t in (0, 1)] == [3, 2]
