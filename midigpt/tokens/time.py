"""The token grid: coarse ticks, and the microtiming they leave over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from midigpt.score import Bar, Note, Score, Track

if TYPE_CHECKING:
    from collections.abc import Callable

    Convert = Callable[[Note], Note]


def at_resolution(score: Score, target: int, *, microtiming: bool, nearest: bool = False) -> Score:
    """The score at ``target`` ticks per quarter note; the same object if it is already there.

    Onsets are floored to the new ticks, because the published models learned from such music.

    Args:
        score: any score; it is not modified.
        target: ticks per quarter note.
        microtiming: keep what is lost of an onset in ``delta``, in 1/target of a new tick; without
            it, deltas become 0. From a coarse grid to a finer one the fraction of a new tick
            that remains is kept in the same way.
        nearest: round onsets to the nearest tick of their bar instead.
    """
    source = score.resolution
    if source == target:
        return score
    convert = _exactly(source, target) if microtiming else _plainly(source, target)
    tracks = []
    for track in score.tracks:
        bars = []
        for bar in track.bars:
            last = math.ceil(bar.beat_length * target) - 1
            chosen = _nearest(source, target, last, microtiming=microtiming) if nearest else convert
            notes = [chosen(note) for note in bar.notes]
            bars.append(
                Bar(notes, bar.ts_numerator, bar.ts_denominator, bar.beat_length, bar.future)
            )
        tracks.append(Track(bars, track.instrument, track.track_type, dict(track.attributes)))
    return Score(tracks, target, score.tempo)


def _plainly(source: int, target: int) -> Convert:
    def convert(note: Note) -> Note:
        return Note(
            note.pitch,
            note.velocity,
            max(0, int(target * note.onset_ticks / source)),
            max(1, int(target * note.duration_ticks / source)),
        )

    return convert


def _exactly(source: int, target: int) -> Convert:
    scale = target / source

    def convert(note: Note) -> Note:
        exact = (note.onset_ticks + note.delta / source) * scale
        onset = max(0, int(exact))
        return Note(
            note.pitch,
            note.velocity,
            onset,
            max(1, int(target * note.duration_ticks / source)),
            round((exact - onset) * target),
        )

    return convert


def _nearest(source: int, target: int, last: int, *, microtiming: bool) -> Convert:
    scale = target / source

    def convert(note: Note) -> Note:
        exact = (note.onset_ticks + note.delta / source) * scale
        # rounding up must not carry a note over its barline
        onset = max(0, min(round(exact), max(last, int(exact))))
        return Note(
            note.pitch,
            note.velocity,
            onset,
            max(1, int(target * note.duration_ticks / source)),
            round((exact - onset) * target) if microtiming else 0,
        )

    return convert
