import pytest

from midigpt.attributes.registry import build
from tests.attributes.music import bar, melody, note, piece

SILENCE = build("silence_proportion", {})
BAR = build("silence_proportion", {"level": "bar"})


def test_rests():
    score = piece(melody(bar(note(60, 0, 12), note(64, 6, 12))))

    assert SILENCE.compute(score, 0) == pytest.approx(30 / 48)


def test_later_bars_count_as_silent():
    # as in the training of the published models
    score = piece(melody(bar(note(60, 0, 48)), bar(note(60, 0, 48))))

    assert SILENCE.compute(score, 0) == 0.5
    assert [BAR.compute(score, 0, b) for b in (0, 1)] == [0.0, 1.0]


def test_unless_a_note_is_longer_than_all_bars_before():
    score = piece(melody(bar(), bar(note(60, 0, 72))))

    assert BAR.compute(score, 0, 1) == 0.5


def test_a_meter_sets_the_length():
    score = piece(melody(bar(note(60, 0, 18), meter=(3, 4))))

    assert SILENCE.compute(score, 0) == 0.5


def test_a_bar_shorter_than_a_tick_has_no_share():
    score = piece(melody(bar(meter=(1, 64)), bar(note(60, 0, 24))))

    assert SILENCE.compute(score, 0) == 0.5


def test_no_bars():
    assert SILENCE.compute(piece(melody()), 0) == 0.0


def test_levels():
    assert [SILENCE.quantize(share) for share in (0.0, 0.09, 0.1, 0.99, 1.0)] == [0, 0, 1, 9, 9]
    assert SILENCE.value_labels()[9] == "90-100%"
