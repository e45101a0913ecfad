"""MIDI files in and out.

Reading gives a score at resolution 480, whatever the file counts in: one track for each channel
and program of each chunk, all tracks in the same bars. A score has one tempo: the file's earliest.
Writing gives a format 1 file, one chunk for each track; ``delta``, ``future`` and attributes have
no place in it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from symusic.core import NoteTick, ScoreTick, TempoTick, TimeSignatureTick, TrackTick

from midigpt._smf import DRUM_CHANNEL, HeardNote, MidiEvents, Part, read_events
from midigpt.errors import MidiFileError
from midigpt.score import DEFAULT_RESOLUTION, DEFAULT_TEMPO, Bar, Note, Score, Track, meter_quarters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

MAX_BARS = 2**18
"""Bars that all tracks of a file may have together; a few bytes can ask for billions."""

MAX_TICK = 2**28 - 1
"""Last tick that can be written: the longest time a MIDI file can put before one event."""


def read(path: str | PathLike[str]) -> Score:
    """Read a MIDI file.

    Raises:
        MidiFileError: the file is not a MIDI file, is damaged, or needs more than ``MAX_BARS``.
        OSError: the file cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        return parse(data)
    except MidiFileError as error:
        raise MidiFileError(f"{path}: {error}") from None


def parse(data: bytes) -> Score:
    """Read the bytes of a MIDI file.

    Raises:
        MidiFileError: as :func:`read`.
    """
    events = read_events(data)
    _, tempo = min(events.tempos, key=lambda item: item[0], default=(0, DEFAULT_TEMPO))
    timeline = _Timeline(_lay_bars(events), events.division)
    return Score([timeline.track(part) for part in events.parts], DEFAULT_RESOLUTION, tempo)


def write(score: Score, path: str | PathLike[str]) -> None:
    """Write a format 1 MIDI file that counts in the score's resolution.

    Raises:
        MidiFileError: the score holds something that a MIDI file cannot.
        OSError: the file cannot be written.
    """
    data = serialize(score)
    Path(path).write_bytes(data)


class _Span(NamedTuple):
    """A bar in the file's ticks; ``length`` is less than its meter says if the bar is cut short."""

    start: int
    length: int
    numerator: int
    denominator: int


def _lay_bars(events: MidiEvents) -> list[_Span]:
    """Bars from each meter to the next, and from the last one to the end of the last note."""
    if not events.parts:
        return []
    meters = {0: (4, 4, 4 * events.division)}
    for tick, numerator, denominator in events.meters:
        # A bar that rounds down to nothing would never advance.
        if length := events.division * 4 * numerator // denominator:
            meters[tick] = (numerator, denominator, length)
    ticks = sorted(meters)
    end = max(max(note.end for note in part.notes) for part in events.parts)
    stops = [*ticks[1:], max(end, ticks[-1] + 1)]
    stretches = [range(at, stop, meters[at][2]) for at, stop in zip(ticks, stops, strict=True)]
    count = sum(len(starts) for starts in stretches)
    if count * len(events.parts) > MAX_BARS:
        raise MidiFileError(
            f"{len(events.parts)} tracks of {count} bars: a file may have {MAX_BARS} bars in all"
        )
    spans = []
    for starts in stretches:
        numerator, denominator, length = meters[starts.start]
        for start in starts:
            room = length if starts is stretches[-1] else min(length, starts.stop - start)
            spans.append(_Span(start, room, numerator, denominator))
    return spans


class _Timeline:
    """Bars in the file's ticks, and where they lie at the score's resolution."""

    def __init__(self, spans: list[_Span], division: int) -> None:
        self._spans = spans
        self._division = division
        self._starts = [span.start for span in spans]
        lengths = [DEFAULT_RESOLUTION * span.length / division for span in spans]
        self._lengths = [_round(length) for length in lengths]
        self._positions = [_round(start) for start in accumulate(lengths, initial=0.0)]

    def track(self, part: Part) -> Track:
        bars = [
            Bar([], span.numerator, span.denominator, span.length / self._division)
            for span in self._spans
        ]
        for heard in part.notes:
            index, note = self._place(heard)
            bars[index].notes.append(note)
        kind = "drum" if part.channel == DRUM_CHANNEL else "melodic"
        return Track(bars, part.program, kind)

    def _place(self, heard: HeardNote) -> tuple[int, Note]:
        """The bar a note starts in, and the note as it stands there."""
        bar, offset = self._locate(heard.start)
        onset = _round(offset)
        if onset >= self._lengths[bar]:
            # The onset rounds onto the barline: the note opens the next bar, if there is one.
            if bar + 1 < len(self._spans):
                bar, onset = bar + 1, 0
                offset = self._offset(heard.start, bar)
            else:
                onset = max(0, self._lengths[bar] - 1)
        delta = _round((offset - onset) * DEFAULT_RESOLUTION)
        last, end = self._locate(heard.end)
        duration = self._positions[last] + _round(end) - (self._positions[bar] + onset)
        return bar, Note(heard.pitch, heard.velocity, onset, max(1, duration), delta)

    def _locate(self, tick: int) -> tuple[int, float]:
        """The bar that holds a tick, and the score's ticks from its start."""
        bar = bisect_right(self._starts, tick) - 1
        return bar, self._offset(tick, bar)

    def _offset(self, tick: int, bar: int) -> float:
        return (tick - self._starts[bar]) / self._division * DEFAULT_RESOLUTION


def _round(value: float) -> int:
    """To the nearest integer, a half away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def serialize(score: Score) -> bytes:
    """The bytes of the file that :func:`write` writes.

    All tracks follow the bars of the first track with the most bars. Where a track repeats a pitch
    that still sounds, the earlier note ends; notes of velocity 0 are left out (both would read as
    something else). Melodic tracks share 15 channels, drum tracks one.

    Raises:
        MidiFileError: the score holds something that a MIDI file cannot.
    """
    _check("resolution", score.resolution, 1, 0x7FFF)
    _check("tempo", score.tempo, 1, 0xFFFFFF)
    bars = max((track.bars for track in score.tracks), key=len, default=[])
    starts = _bar_starts(bars, score.resolution)
    song = ScoreTick(score.resolution)
    song.tempos.append(TempoTick(0, mspq=score.tempo))
    for change in _meter_changes(bars, starts):
        song.time_signatures.append(change)
    for number, track in enumerate(score.tracks):
        _check(f"tracks[{number}].instrument", track.instrument, 0, 127)
        chunk = TrackTick("", track.instrument, track.is_drum)
        for note in _playable(_on_timeline(track, number, starts)):
            chunk.notes.append(note)
        song.tracks.append(chunk)
    return song.dumps_midi()


def _bar_starts(bars: Iterable[Bar], resolution: int) -> list[int]:
    """Where each bar starts, and where the last one ends."""
    for index, bar in enumerate(bars):
        _check(f"beat_length of bar {index}", bar.beat_length, 0, MAX_TICK)
    starts = list(accumulate((resolution * bar.beat_length for bar in bars), initial=0.0))
    _check("the end of the last bar", starts[-1], 0, MAX_TICK)
    return [round(start) for start in starts]


def _meter_changes(bars: Iterable[Bar], starts: list[int]) -> Iterator[TimeSignatureTick]:
    current: tuple[int, int] | None = None
    for index, (bar, start) in enumerate(zip(bars, starts, strict=False)):
        meter = bar.ts_numerator, bar.ts_denominator
        if meter != current:
            _check(f"ts_numerator of bar {index}", bar.ts_numerator, 1, 255)
            _check(f"ts_denominator of bar {index}", bar.ts_denominator, 1, 128)
            if bar.ts_denominator & (bar.ts_denominator - 1):
                raise MidiFileError(
                    f"ts_denominator of bar {index} is {bar.ts_denominator};"
                    " a MIDI file can hold powers of two"
                )
            yield TimeSignatureTick(start, *meter)
        # After a bar cut short only a meter event, be it the same meter, puts the next barline.
        current = meter if bar.beat_length >= meter_quarters(*meter) else None


def _on_timeline(track: Track, number: int, starts: list[int]) -> Iterator[HeardNote]:
    """The track's audible notes in ticks from the start of the piece, checked."""
    for index, (bar, start) in enumerate(zip(track.bars, starts, strict=False)):
        for note in bar.notes:
            where = f"of a note in tracks[{number}].bars[{index}]"
            _check(f"pitch {where}", note.pitch, 0, 127)
            _check(f"velocity {where}", note.velocity, 0, 127)
            onset = start + note.onset_ticks
            end = max(0, onset + max(0, note.duration_ticks))
            _check(f"the end {where}", end, 0, MAX_TICK)
            if note.velocity:
                yield HeardNote(max(0, onset), end, note.pitch, note.velocity)


def _playable(notes: Iterable[HeardNote]) -> Iterator[NoteTick]:
    """The notes by onset, each ending no later than its pitch begins anew."""
    # Ends meet beginnings of a pitch first in, first out: of equal beginnings the shorter goes
    # first. Otherwise notes that begin together keep their order.
    rank: dict[tuple[int, int], int] = {}

    def order(note: HeardNote) -> tuple[int, int, int]:
        return note.start, rank.setdefault((note.start, note.pitch), len(rank)), note.end

    ordered = sorted(notes, key=order)
    following: dict[int, tuple[int, int]] = {}
    for note in reversed(ordered):
        start, limit = following.get(note.pitch, (MAX_TICK, MAX_TICK))
        if note.start < start:
            limit = start
        note.end = min(note.end, limit)
        following[note.pitch] = note.start, limit
    for note in ordered:
        yield NoteTick(note.start, note.end - note.start, note.pitch, note.velocity)


def _check(member: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise MidiFileError(f"{member} is {value}; a MIDI file can hold {low} to {high}")
