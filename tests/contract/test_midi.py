"""MIDI files in and out.

The records hold what the reference does. Where it does wrong (it keeps the full length of bars cut
short, loses notes that are never closed or that round onto a barline, swaps the ends of
overlapping notes), what it leaves alone must match the record, and every note must be where a
second reading of the file, through mido, says it is.
"""

import io
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate

import mido
import pytest

from midigpt import Score, midi
from midigpt.score import meter_quarters
from tests.contract.vectors import FOLDER, needs_vectors, rows, unpack

pytestmark = needs_vectors

FILES = rows("midi/midi.jsonl")
WRITTEN = rows("midi/write.jsonl")
NOTES = {"note_on", "note_off"}


def data_of(row):
    return (FOLDER / "midi" / row["file"]).read_bytes()


@dataclass
class Heard:
    """A note as it sounds; times in ticks of 480 to the quarter, from the start of the piece."""

    pitch: int
    velocity: int
    start: float
    end: float
    closed: bool = True


def listen(data):
    """The notes of a file's tracks, in the order of their beginnings, by mido."""
    song = mido.MidiFile(file=io.BytesIO(data))
    tracks = []
    for chunk in song.tracks:
        now, programs, groups, sounding = 0, [0] * 16, defaultdict(list), defaultdict(list)
        for message in chunk:
            now += message.time * 480 / (song.ticks_per_beat or 480)
            if message.type == "program_change":
                programs[message.channel] = message.program
            elif message.type == "note_on" and message.velocity:
                note = Heard(message.note, message.velocity, now, now, closed=False)
                groups[message.channel, programs[message.channel]].append(note)
                sounding[message.channel, message.note].append(note)
            elif message.type in NOTES and sounding[message.channel, message.note]:
                note = sounding[message.channel, message.note].pop(0)
                note.end, note.closed = now, True
        for notes in sounding.values():
            for note in notes:
                note.end = now
        tracks += [notes for _, notes in sorted(groups.items())]
    return tracks


def meters(data):
    """The ticks of the meter events, of 480 to the quarter."""
    song = mido.MidiFile(file=io.BytesIO(data))
    for chunk in song.tracks:
        for message, now in zip(chunk, accumulate(message.time for message in chunk), strict=True):
            if message.type == "time_signature":
                yield now * 480 / (song.ticks_per_beat or 480)


def bar_starts(track):
    return list(accumulate((480 * bar.beat_length for bar in track.bars), initial=0.0))


def notes_of(track, starts):
    """The notes of a track in bars that start at ``starts``, as :class:`Heard`."""
    for bar, start in zip(track.bars, starts, strict=False):
        for note in bar.notes:
            onset = start + note.onset_ticks + note.delta / 480
            yield Heard(note.pitch, note.velocity, onset, onset + note.duration_ticks)


def same_note(one, other):
    named = (one.pitch, one.velocity) == (other.pitch, other.velocity)
    return named and one.start == pytest.approx(other.start, abs=0.01)


def lasts(note, expected):
    """Both ends are rounded to the grid, and no note is shorter than one tick."""
    return abs(note.end - note.start - max(1, expected.end - expected.start)) <= 1.01


def reads_differently(data, recorded, heard):
    """Whether the file holds what the reference reads wrongly."""
    unclosed = any(not note.closed for track in heard for note in track)
    kept = sum(len(bar.notes) for track in recorded.tracks for bar in track.bars)
    lost = kept < sum(note.closed for track in heard for note in track)
    barlines = [round(t, 6) for track in recorded.tracks[:1] for t in bar_starts(track)]
    cut = bool(barlines) and any(round(tick, 6) not in barlines for tick in meters(data))
    return unclosed or lost or cut


@pytest.mark.parametrize("row", [row for row in FILES if "score" in row], ids=lambda r: r["file"])
def test_read(row):
    data, recorded = data_of(row), unpack(row["score"])
    score = midi.parse(data)
    try:
        heard = listen(data)
    except (EOFError, OSError):
        heard = None  # mido is stricter about chunks
    if heard is None or not reads_differently(data, recorded, heard):
        assert score == recorded
        return
    assert (score.resolution, score.tempo) == (recorded.resolution, recorded.tempo)
    for track, known, sounds in zip(score.tracks, recorded.tracks, heard, strict=True):
        check_repaired(track, known, sounds)


def check_repaired(track, known, sounds):
    assert (track.instrument, track.track_type) == (known.instrument, known.track_type)
    starts = bar_starts(track)
    assert len(track.bars) >= len(known.bars)
    for bar, other in zip(track.bars, known.bars, strict=False):
        assert (bar.ts_numerator, bar.ts_denominator) == (other.ts_numerator, other.ts_denominator)
        assert bar.beat_length <= other.beat_length
    # every note of the file, where and as long as it sounds
    notes = list(notes_of(track, starts))
    for note, sound in zip(notes, sounds, strict=True):
        assert same_note(note, sound)
        assert lasts(note, sound)
    for bar in track.bars:
        assert all(0 <= note.onset_ticks < max(1, 480 * bar.beat_length) for note in bar.notes)
    # every note of the record, and beyond it only those the reference loses
    records = list(notes_of(known, starts))
    lost = [s for s in sounds if not s.closed or any(0 < t - s.start < 0.501 for t in starts)]
    assert len(notes) - len(records) <= len(lost)
    remaining = iter(notes)
    assert all(any(same_note(note, record) for note in remaining) for record in records)


@pytest.mark.parametrize("row", [row for row in FILES if "error" in row], ids=lambda r: r["file"])
def test_refuse(row):
    assert row["error"]["type"] == "RuntimeError"
    with pytest.raises(RuntimeError):
        midi.parse(data_of(row))


def irregular(score):
    """Whether bars are longer or shorter than their meters."""
    return any(
        bar.beat_length != meter_quarters(bar.ts_numerator, bar.ts_denominator)
        for track in score.tracks
        for bar in track.bars
    )


def intended(score):
    """What should sound, per track with notes: each note ends where its pitch begins anew."""
    longest = max(score.tracks, key=lambda track: len(track.bars))
    lengths = (score.resolution * bar.beat_length for bar in longest.bars)
    starts = [round(start) for start in accumulate(lengths, initial=0.0)]
    for track in score.tracks:
        notes = list(notes_of(track, starts))
        for note in notes:
            again = [n.start for n in notes if n.pitch == note.pitch and n.start > note.start]
            note.end = min([note.end, *again])
        for note in notes:
            note.start *= 480 / score.resolution
            note.end *= 480 / score.resolution
        if notes:
            yield notes


def by_place(notes):
    return sorted(notes, key=lambda note: (round(note.start), note.pitch, note.end))


def has_overlaps(score):
    """Whether a note begins while its pitch sounds in the same track."""
    sounding = sum(note.end - note.start for notes in intended(score) for note in notes)
    bars = [bar for track in score.tracks for bar in track.bars]
    given = sum(note.duration_ticks for bar in bars for note in bar.notes)
    return sounding < given * 480 / score.resolution - 0.01


@pytest.mark.parametrize("row", WRITTEN)
def test_write_and_read_back(row):
    score, recorded = unpack(row["score"]), unpack(row["read_back"])
    data = midi.serialize(score)
    again = midi.parse(data)
    if not irregular(score) and not has_overlaps(score):
        assert again == recorded
    assert (again.resolution, again.tempo) == (recorded.resolution, recorded.tempo)
    for track, known, notes in zip(again.tracks, recorded.tracks, intended(score), strict=True):
        assert (track.instrument, track.track_type) == (known.instrument, known.track_type)
        found = notes_of(track, bar_starts(track))
        for note, expected in zip(by_place(found), by_place(notes), strict=True):
            assert same_note(note, expected)
            assert lasts(note, expected)
        meters = [(bar.ts_numerator, bar.ts_denominator) for bar in track.bars]
        assert meters == [(bar.ts_numerator, bar.ts_denominator) for bar in known.bars]


@pytest.mark.parametrize("row", [row for row in WRITTEN if "bytes" in row])
def test_write_bytes(row):
    assert midi.serialize(unpack(row["score"])).hex() == row["bytes"]


def test_from_midi_reads_the_same(tmp_path):
    path = tmp_path / "song.mid"
    for row in FILES[:3]:
        path.write_bytes(data_of(row))
        assert Score.from_midi(path) == Score.from_bytes(data_of(row))
