import copy
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from midigpt import Score, Track
from midigpt.attributes.registry import build
from midigpt.attributes.table import NoteTable
from midigpt.attributes.tension import EDGES
from tests.attributes.music import bar, drums, melody, note, piece, pieces

TENSION = build("tension", {})
DRUMS = build("tension_drum", {})


def line(loudness, pitch=60, notes=8):
    return bar(*(note(pitch, onset, 6, loudness) for onset in range(0, 48, 48 // notes)))


def curve(score, t=0, attribute=TENSION):
    return attribute.measure(NoteTable(score, t)).tolist()


CALM_THEN_WILD = [line(40), line(40), line(80, 67), line(120, 79, 16), line(120, 84, 16), line(40)]


def test_tension_rises_with_loudness_pace_and_pitch():
    values = curve(piece(melody(*CALM_THEN_WILD)))

    assert values[1] < values[2] < values[3]
    assert values[0] < 0 < values[3]


def test_drums_follow_pace_and_loudness():
    beats = [copy.deepcopy(bar) for bar in CALM_THEN_WILD]
    values = curve(piece(drums(*beats)), attribute=DRUMS)

    assert values[1] < values[2] < values[3]


def test_drums_have_no_melody():
    one, other = (
        curve(piece(drums(*[line(90, pitch)] * 2, line(90, 60), line(90, 60))), attribute=DRUMS)
        for pitch in (36, 84)
    )

    assert one == other


def test_the_last_bar_has_no_tension():
    assert curve(piece(melody(*CALM_THEN_WILD)))[-1] == 0.0


def test_nor_has_one_after_the_music():
    values = curve(piece(melody(*CALM_THEN_WILD, bar(), bar())))

    assert values[-3:] == [0.0] * 3


def test_every_bar_counts_where_it_is():
    bars = CALM_THEN_WILD
    swapped = [*bars[:1], bars[3], *bars[2:3], bars[1], *bars[4:]]

    assert curve(piece(melody(*bars))) != curve(piece(melody(*swapped)))


def test_a_track_is_measured_by_itself():
    alone = piece(melody(*CALM_THEN_WILD))
    among = piece(melody(), melody(bar()), drums(line(90)), melody(*CALM_THEN_WILD))

    assert curve(among, 3) == curve(alone)


def test_nothing_is_remembered():
    score = piece(melody(*copy.deepcopy(CALM_THEN_WILD)))
    first = curve(score)
    score.tracks[0].bars[3].notes.clear()

    second = curve(score)

    assert second != first
    assert second == curve(copy.deepcopy(score))


def test_tempo_and_instrument_do_not_matter():
    bars = CALM_THEN_WILD
    other = Score([Track(bars, 40)], 12, tempo=250_000)

    assert curve(other) == curve(piece(melody(*bars)))


def test_the_other_kind_of_track_has_none():
    score = piece(melody(*CALM_THEN_WILD), drums(*CALM_THEN_WILD))

    assert curve(score, 1) == [0.0] * 6
    assert curve(score, 0, DRUMS) == [0.0] * 6


def test_a_note_too_short_for_a_sample():
    assert curve(piece(melody(bar(note(60, 0, 1)), bar()))) == [0.0, 0.0]


@pytest.mark.parametrize("score", [piece(), piece(melody()), piece(melody(bar()))])
def test_no_music(score):
    assert TENSION.measure(NoteTable(score)).tolist() == [0.0] * sum(
        len(track.bars) for track in score.tracks
    )


def test_long_notes_take_neither_time_nor_memory():
    bars = copy.deepcopy(CALM_THEN_WILD)
    bars[2].notes[0].duration_ticks = 2**31 - 1
    bars[3].notes[0].onset_ticks = 2**31 - 1
    tracemalloc.start()
    started = time.perf_counter()

    try:
        values = curve(piece(melody(*bars)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert np.isfinite(values).all()
    assert peak < 10_000_000
    assert time.perf_counter() - started < 10


def test_levels_are_deciles():
    assert TENSION.levels(np.array([-9, 0.0, -0.001, 9, *EDGES])).tolist() == [
        *(0, 5, 4, 9),
        *range(1, 10),
    ]


@given(pieces)
def test_any_music_has_finite_tension(score):
    for attribute in (TENSION, DRUMS):
        values = attribute.measure(NoteTable(score))

        assert np.isfinite(values).all()
        assert len(values) == sum(len(track.bars) for track in score.tracks)
