from midigpt.attributes.registry import build
from tests.attributes.music import bar, melody, note, piece

ONSETS = build("onset_polyphony", {})


def test_notes_that_start_together():
    score = piece(
        melody(bar(note(60, 0), note(62, 6), note(64, 0)), bar(note(67, 6))), melody(bar(note()))
    )

    assert [ONSETS.compute(score, t) for t in (0, 1)] == [2, 1]


def test_the_same_tick_of_other_bars_and_tracks_is_another_onset():
    score = piece(melody(bar(note(60, 6)), bar(note(62, 6))), melody(bar(note(64, 6))))

    assert [ONSETS.compute(score, t) for t in (0, 1)] == [1, 1]


def test_no_notes():
    assert ONSETS.compute(piece(melody(bar())), 0) == 0


def test_levels():
    assert [ONSETS.quantize(notes) for notes in (3, 12, 200)] == [3, 12, 127]
