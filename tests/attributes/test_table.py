import numpy as np
import pytest
from hypothesis import given

from midigpt.attributes.table import NoteTable
from tests.attributes.music import bar, drums, melody, note, piece, pieces

SCORE = piece(
    melody(bar(), bar(note(60, 3, 6, 90), note(64, 0, 12, 80))),
    drums(),
    drums(bar(note(36, 7, 1, 70))),
)


def test_columns():
    table = NoteTable(SCORE)

    assert table.pitch.tolist() == [60, 64, 36]
    assert table.velocity.tolist() == [90, 80, 70]
    assert table.onset.tolist() == [3, 0, 7]
    assert table.duration.tolist() == [6, 12, 1]
    assert table.bar.tolist() == [1, 1, 2]
    assert table.track.tolist() == [0, 0, 2]
    assert table.bar_track.tolist() == [0, 0, 2]
    assert table.is_drum.tolist() == [False, True, True]


def test_one_track():
    table = NoteTable(SCORE, 2)

    assert table.pitch.tolist() == [36]
    assert table.track.tolist() == [0]
    assert table.bar.tolist() == [0]
    assert table.whole.pitch.tolist() == [60, 64, 36]


def test_the_whole_table_is_its_own_whole():
    table = NoteTable(SCORE)

    assert table.whole is table


def test_groups():
    table = NoteTable(SCORE)

    assert table.groups("track").of.tolist() == [0, 0, 2]
    assert table.groups("track").size == 3
    assert table.groups("bar").of.tolist() == [1, 1, 2]
    assert table.groups("bar").size == 3


def test_bars_start_anew_in_every_track():
    table = NoteTable(piece(melody(bar(), bar()), melody(), melody(bar(), bar(), bar())))

    assert table.starts(np.array([4, 3, 5, 2, 1])).tolist() == [0, 4, 0, 5, 7]


def test_once():
    table, calls = NoteTable(SCORE), []

    def measure(measured, level):
        calls.append(level)
        return len(measured.notes)

    assert [table.once(measure, level) for level in ("bar", "track", "bar")] == [3, 3, 3]
    assert calls == ["bar", "track"]


def test_no_such_track():
    with pytest.raises(IndexError):
        NoteTable(SCORE, 3)


@given(pieces)
def test_all_notes_are_there(score):
    table = NoteTable(score)

    flat = [
        (t, n.pitch, n.velocity, n.onset_ticks, n.duration_ticks)
        for t, track in enumerate(score.tracks)
        for bar in track.bars
        for n in bar.notes
    ]
    columns = (table.track, table.pitch, table.velocity, table.onset, table.duration)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == flat
    assert all(n in table.bars[b].notes for b, n in zip(table.bar, table.notes, strict=True))
