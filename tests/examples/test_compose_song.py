import subprocess
import sys
from pathlib import Path

import mido
import pytest

from midigpt import Score

EXAMPLES = Path(__file__).parents[2] / "examples"
SONG = EXAMPLES / "song.mid"


@pytest.fixture(scope="module")
def song():
    return Score.from_midi(SONG)


def test_it_writes_the_song_that_is_kept_here(tmp_path):
    path = tmp_path / "song.mid"
    subprocess.run([sys.executable, EXAMPLES / "compose_song.py", path], check=True)
    assert path.read_bytes() == SONG.read_bytes()


def test_the_song_is_sixteen_bars_for_five(song):
    assert [(track.instrument, track.track_type) for track in song.tracks] == [
        (73, "melodic"),
        (4, "melodic"),
        (33, "melodic"),
        (48, "melodic"),
        (0, "drum"),
    ]
    assert song.tempo == 600_000
    for track in song.tracks:
        assert [(bar.ts_numerator, bar.ts_denominator) for bar in track.bars] == [(4, 4)] * 16


def test_only_the_strings_wait(song):
    silent = {
        (n, b)
        for n, track in enumerate(song.tracks)
        for b, bar in enumerate(track.bars)
        if not bar.notes
    }
    assert silent == {(3, bar) for bar in range(4)}


def test_it_is_played_by_hand(song):
    notes = [note for track in song.tracks for bar in track.bars for note in bar.notes]
    assert len({note.velocity for note in notes}) > 20
    assert len({note.onset_ticks % 120 for note in notes}) > 20


def test_the_tracks_have_names():
    names = [track.name for track in mido.MidiFile(SONG).tracks]
    assert names == ["Lantern Street", "Flute", "Electric piano", "Bass", "Strings", "Drums"]
