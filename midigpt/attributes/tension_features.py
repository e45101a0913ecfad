"""The features of a track that its tension follows, sampled ten times per second."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from midigpt.attributes.spiral_array import COLUMNS, WINDOW_BEATS, harmonic_distance
from midigpt.attributes.table import FloatArray, IntArray

if TYPE_CHECKING:
    from midigpt.attributes.table import NoteTable

QUARTER = 500_000
"""Microseconds of a quarter note, whatever the tempo of the score."""

SAMPLE = 100_000
"""Microseconds from one sample to the next."""

_SECONDS = QUARTER / 1e6
_RING = 64
_STILL_SOUNDING = 10_000
_TICK = 10

# by the semitones from the lower to the higher note
_ROUGHNESS = np.array([0, 0.85, 0.4, 0.255, 0.225, 0.15, 0.275, 0.075, 0.275, 0.175, 0.225, 0.4])


@dataclass(frozen=True)
class Line:
    """The notes of a track by onset, and its beats; all times in microseconds.

    Attributes:
        onset: when every note starts, ascending, shape (notes,).
        end: when it ends; at most 64 quarters after the last bar, so that no ring is too long to
            be sampled.
        pitch: MIDI pitches.
        velocity: MIDI velocities.
        beats: how many beats every bar has, shape (bars,).
        beat_length: how long they are.
    """

    onset: IntArray
    end: IntArray
    pitch: IntArray
    velocity: IntArray
    beats: IntArray
    beat_length: FloatArray

    @classmethod
    def of(cls, table: NoteTable, t: int) -> Line:
        """The line of a table's track; its bars are as long as their meters."""
        bars, resolution = table.tracks[t].bars, table.score.resolution
        beats = np.array([bar.ts_numerator for bar in bars], np.int64)
        denominators = np.array([bar.ts_denominator for bar in bars], np.int64)
        own = table.track == t
        lengths = beats * (4 * resolution / denominators)
        bar = table.bar[own] - np.searchsorted(table.bar_track, t)
        latest = lengths.sum() + _RING * resolution

        def time(tick: IntArray) -> IntArray:
            reached = np.clip((np.cumsum(lengths) - lengths)[bar] + tick, 0, latest)
            # by way of seconds, as readers of MIDI files reckon: it decides how halves are rounded
            seconds: FloatArray = reached * (_SECONDS / resolution)
            return np.rint(1e6 * seconds).astype(np.int64)

        onset, end = time(table.onset[own]), time((table.onset + table.duration)[own])
        order = np.argsort(onset, kind="stable")
        pitch, velocity = table.pitch[own][order], table.velocity[own][order]
        return cls(onset[order], end[order], pitch, velocity, beats, 4 * QUARTER / denominators)

    @cached_property
    def samples(self) -> int:
        """How many samples there are up to the end of the last note."""
        return int(self.end.max(initial=0)) // SAMPLE

    @cached_property
    def bar_starts(self) -> FloatArray:
        """Start of every bar, and end of the last, shape (bars + 1,)."""
        ends: FloatArray = np.cumsum(self.beats * self.beat_length)
        return np.insert(ends, 0, 0.0)

    @cached_property
    def beat_times(self) -> FloatArray:
        """The beats up to the end of the notes, and at least to the last bar, whose go on."""
        last_start, end_of_bars = self.bar_starts[-2:]
        # half a microsecond, because ends are rounded
        reached = max(self.end.max() + 0.5, last_start)
        within = np.concatenate([np.arange(count) for count in self.beats])
        beats = np.repeat(self.bar_starts[:-1], self.beats)
        beats += within * np.repeat(self.beat_length, self.beats)
        after = np.arange(end_of_bars, reached, self.beat_length[-1])
        return np.concatenate([beats[beats <= reached], after])

    @cached_property
    def chords(self) -> IntArray:
        """Index of the first note of every distinct onset, shape (onsets,)."""
        return np.flatnonzero(np.diff(self.onset, prepend=-1))

    def held(self, times: IntArray | FloatArray, values: IntArray | FloatArray) -> FloatArray:
        """Values that last until the next one, as samples; 0 before the first."""
        latest = np.searchsorted(
            times // _TICK, np.arange(self.samples) * (SAMPLE // _TICK), side="right"
        )
        return np.concatenate([[0.0], values])[latest]


def melodic_features(line: Line) -> list[tuple[float, FloatArray]]:
    """Weights and samples of what moves the tension of a melodic track."""
    return [
        (2, _pace(line)),
        (3, _contour(line)),
        (3, _loudness(line)),
        (2, _tempo(line)),
        (1, _harmony(line)),
        (1, _dissonance(line)),
    ]


def drum_features(line: Line) -> list[tuple[float, FloatArray]]:
    """Weights and samples of what moves the tension of a drum track."""
    return [(2, _pace(line)), (3, _loudness(line)), (2, _tempo(line))]


def _pace(line: Line) -> FloatArray:
    """Onsets per second, by the time since the onset before."""
    onsets = line.onset[line.chords]
    return line.held(onsets, np.concatenate([[0.0], 1e6 / np.diff(onsets)]))


def _contour(line: Line) -> FloatArray:
    """The melody: the highest note of every onset that no higher note of the melody covers."""
    top = np.lexsort((-line.pitch, line.onset))[line.chords]
    melody: list[tuple[int, int]] = []
    pitch, end = -1, 0
    for at, candidate, until in np.array([line.onset, line.pitch, line.end])[:, top].T.tolist():
        if candidate >= pitch or end - at < _STILL_SOUNDING:
            pitch, end = candidate, until
            melody.append((at, pitch))
    times, pitches = np.array(melody).T
    samples = line.held(times, pitches)
    heard = np.flatnonzero(samples)
    if len(heard):
        samples[: heard[0]] = samples[heard[0]]
    return samples


def _loudness(line: Line) -> FloatArray:
    """The loudest note of every onset, and a tenth of the others."""
    loudest = np.maximum.reduceat(line.velocity, line.chords)
    others = np.add.reduceat(line.velocity, line.chords) - loudest
    return line.held(line.onset[line.chords], loudest + 0.1 * others)


def _tempo(line: Line) -> FloatArray:
    """A score has one tempo, which moves nothing but takes its share of the attention."""
    return np.zeros(line.samples)


def _dissonance(line: Line) -> FloatArray:
    """The roughness of every onset: the sum over all its pairs of notes."""
    chord = np.cumsum(np.diff(line.onset, prepend=-1) != 0) - 1
    span = int(line.pitch.max()) + 1
    places, notes = np.unique(chord * span + line.pitch, return_counts=True)
    chord, pitch = np.divmod(places, span)
    roughness: FloatArray = np.zeros(len(line.chords))
    for apart in range(1, int(np.bincount(chord).max())):
        lower, upper = slice(None, -apart), slice(apart, None)
        pairs = notes[lower] * notes[upper] * (chord[lower] == chord[upper])
        rough = pairs * _ROUGHNESS[(pitch[upper] - pitch[lower]) % 12]
        roughness += np.bincount(chord[lower], rough, len(roughness))
    return line.held(line.onset[line.chords], roughness)


def _harmony(line: Line) -> FloatArray:
    """How far the harmony is from the key, in windows of two beats."""
    beats = line.beat_times
    columns = np.interp(
        np.arange((len(beats) - 1) * COLUMNS + 1) / COLUMNS, np.arange(len(beats)), beats
    )
    first, last = np.searchsorted(columns, line.onset), np.searchsorted(columns, line.end)
    distance = harmonic_distance(line.pitch, first, last, len(columns))
    return line.held(beats[:-1:WINDOW_BEATS][: len(distance)], distance)
