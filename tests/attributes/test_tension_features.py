from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt.attributes.table import NoteTable
from midigpt.attributes.tension_features import (
    _ROUGHNESS,
    Line,
    drum_features,
    melodic_features,
)
from tests.attributes.music import bar, melody, note, piece

PACE, CONTOUR, LOUDNESS, TEMPO, HARMONY, DISSONANCE = range(6)


def line(*bars, t=0):
    return Line.of(NoteTable(piece(melody(*bars))), t)


def samples(feature, *bars):
    weight, values = melodic_features(line(*bars))[feature]
    assert weight > 0
    return values.tolist()


def test_times_are_microseconds_at_two_quarters_per_second():
    notes = line(bar(note(64, 12, 24)), bar(note(60, 6, 3)))

    assert notes.onset.tolist() == [500_000, 2_250_000]
    assert notes.end.tolist() == [1_500_000, 2_375_000]
    assert notes.samples == 23


def test_notes_come_in_the_order_of_their_onsets():
    notes = line(bar(note(64, 12, velocity=1), note(60, 0, velocity=2)))

    assert notes.pitch.tolist() == [60, 64]
    assert notes.velocity.tolist() == [2, 1]


def test_meters_set_the_bars():
    notes = line(bar(meter=(3, 4)), bar(note(60, 0, 12), meter=(6, 8)))

    assert notes.bar_starts.tolist() == [0, 1_500_000, 3_000_000]
    assert notes.onset.tolist() == [1_500_000]


def test_a_track_of_a_table():
    table = NoteTable(piece(melody(bar(), bar()), melody(bar(), bar(note(60, 12)))))

    assert Line.of(table, 1).onset.tolist() == [2_500_000]
    assert Line.of(table, 0).samples == 0


def test_times_are_clipped():
    notes = line(bar(note(60, -12, 24), note(62, 2**31 - 1, 1), note(64, 0, 2**31 - 1)))

    assert notes.onset.tolist() == [0, 0, 34_000_000]
    assert notes.end.max() == 34_000_000


@pytest.mark.parametrize(
    ("ticks", "beats"),
    [
        (12, [0, 0.5]),
        (13, [0, 0.5]),
        (48, [0, 0.5, 1, 1.5, 2]),
        (61, [0, 0.5, 1, 1.5, 2, 2.5]),
    ],
)
def test_beats_up_to_the_end(ticks, beats):
    assert (line(bar(note(60, 0, ticks))).beat_times / 1e6).tolist() == beats


def test_beats_go_at_least_to_the_last_bar():
    notes = line(bar(note(60, 0, 12)), bar(meter=(2, 8)))

    assert (notes.beat_times / 1e6).tolist() == [0, 0.5, 1, 1.5, 2]


def test_beats_of_mixed_meters():
    notes = line(bar(meter=(2, 8)), bar(note(60, 0, 24), meter=(2, 4)))

    assert (notes.beat_times / 1e6).tolist() == [0, 0.25, 0.5, 1, 1.5]


def test_pace():
    # onsets at 0, 0.5 and 0.75 seconds
    pace = samples(PACE, bar(note(60, 0, 1), note(60, 12, 1), note(60, 18, 12)))

    assert pace == [0.0] * 5 + [2.0] * 3 + [4.0] * 4


def test_the_melody_is_on_top():
    chords = bar(note(60, 0, 12), note(67, 0, 12), note(64, 12, 12), note(48, 12, 12))

    assert samples(CONTOUR, chords) == [67] * 5 + [64] * 5


def test_what_a_higher_melody_note_covers_is_no_melody():
    score = bar(note(67, 0, 24), note(60, 12, 24))

    assert samples(CONTOUR, score) == [67] * 15


def test_a_melody_begins_with_the_piece():
    assert samples(CONTOUR, bar(note(67, 24, 12))) == [67] * 15


def test_a_melody_on_the_lowest_pitch():
    assert samples(CONTOUR, bar(note(0, 0, 12))) == [0] * 5


def test_loudness():
    chord = bar(note(60, 0, 12, 100), note(64, 0, 12, 50), note(67, 0, 12, 30))

    assert samples(LOUDNESS, chord) == [108.0] * 5


def test_tempo_never_changes():
    assert samples(TEMPO, bar(note(60, 0, 12))) == [0.0] * 5


def test_harmony_is_looked_at_every_two_beats():
    values = samples(HARMONY, bar(note(60, 0, 24), note(61, 24, 24)))

    assert len(set(values[:10])) == len(set(values[10:])) == 1
    assert values[0] != values[10]


def test_harmony_without_a_complete_window():
    assert samples(HARMONY, bar(note(60, 0, 12))) == [0.0] * 5


def test_a_fifth_is_smoother_than_a_second():
    fifth, second = (samples(DISSONANCE, bar(note(60), note(upper))) for upper in (67, 61))

    assert fifth == pytest.approx([0.075] * 5)
    assert second == pytest.approx([0.85] * 5)


@given(st.lists(st.tuples(st.integers(0, 127), st.sampled_from([0, 12])), min_size=1, max_size=8))
def test_dissonance_is_that_of_all_pairs(chords):
    notes = [note(pitch, onset, 48 - onset) for pitch, onset in chords]
    values = samples(DISSONANCE, bar(*notes))

    for onset, sample in ((0, 0), (12, 5)):
        pitches = [n.pitch for n in notes if n.onset_ticks == onset]
        rough = sum(_ROUGHNESS[abs(a - b) % 12] for a, b in combinations(pitches, 2))
        if pitches:
            assert values[sample] == pytest.approx(rough)


def test_features_of_drums():
    notes = line(bar(note(36, 0, 6), note(38, 12, 6)))
    drum, melodic = drum_features(notes), melodic_features(notes)

    assert [weight for weight, _ in drum] == [2, 3, 2]
    assert [weight for weight, _ in melodic] == [2, 3, 3, 2, 1, 1]
    assert np.array_equal(drum[1][1], melodic[LOUDNESS][1])
