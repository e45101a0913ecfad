"""Every attribute against its definition, written down as plainly as it can be."""

import math
from collections import Counter

import pytest
from hypothesis import given

from midigpt.attributes.key_signature import _MAJOR, _MINOR
from midigpt.attributes.note_density import BOUNDS
from midigpt.attributes.registry import build
from tests.attributes.music import pieces


def quantile(values, mode):
    values, q = sorted(values), {"min": 0.15, "max": 0.85}[mode]
    return values[min(round(len(values) * q), len(values) - 1)] if values else 0


def sounding(spans, first, last):
    """How many spans cover every tick from ``first`` to before ``last`` that any covers."""
    return Counter(t for start, end in spans for t in range(max(start, first), min(end, last)))


def bar_ticks(bar, resolution):
    return round(bar.beat_length * resolution)


def track_spans(track, resolution):
    start = 0
    for bar in track.bars:
        for n in bar.notes:
            yield start + n.onset_ticks, start + n.onset_ticks + n.duration_ticks
        start += bar_ticks(bar, resolution)


def check(score, key, params, of_track):
    computed = [build(key, params).compute(score, t) for t in range(len(score.tracks))]

    assert computed == pytest.approx([of_track(track) for track in score.tracks], abs=1e-12)


def check_bars(score, key, params, of_bar):
    computed = [
        [build(key, params).compute(score, t, b) for b in range(len(track.bars))]
        for t, track in enumerate(score.tracks)
    ]

    assert computed == [[of_bar(track, bar) for bar in track.bars] for track in score.tracks]


modes = pytest.mark.parametrize("mode", ["min", "max"])


@modes
@given(score=pieces)
def test_polyphony(mode, score):
    def of_track(track):
        spans = list(track_spans(track, score.resolution))
        end = max((end for _, end in spans), default=0)
        return quantile(sounding(spans, 0, end - 1).values(), mode)

    def of_bar(_, bar):
        spans = [(n.onset_ticks, n.onset_ticks + n.duration_ticks) for n in bar.notes]
        voices = sounding(spans, 0, bar_ticks(bar, score.resolution) - 1)
        return quantile(voices.values(), mode)

    check(score, "polyphony_quantile", {"mode": mode}, of_track)
    check_bars(score, "polyphony_quantile", {"mode": mode, "level": "bar"}, of_bar)


@modes
@given(score=pieces)
def test_note_duration(mode, score):
    def note_value(track, n):
        quarters = 1.0 if track.is_drum else n.duration_ticks / score.resolution
        return int(min(max(math.log2(max(quarters, 1e-6)) + 3, 0), 5))

    def of_track(track):
        return quantile([note_value(track, n) for b in track.bars for n in b.notes], mode)

    def of_bar(track, bar):
        return quantile([note_value(track, n) for n in bar.notes], mode)

    check(score, "note_duration_quantile", {"mode": mode}, of_track)
    check_bars(score, "note_duration_quantile", {"mode": mode, "level": "bar"}, of_bar)


@given(pieces)
def test_most_frequent_note_value(score):
    def of_track(track):
        values = [
            min(int(math.log2(max(n.duration_ticks / (score.resolution / 8), 1))), 5)
            for bar in track.bars
            for n in bar.notes
            if n.duration_ticks > 0
        ]
        return Counter(values).most_common(1)[0][0] if values else 3

    check(score, "note_duration_dist", {}, of_track)


@given(pieces)
def test_density(score):
    def level(track, notes):
        row = 128 if track.is_drum else track.instrument if 0 <= track.instrument <= 128 else 0
        return next(n for n, bound in enumerate(BOUNDS[row]) if notes <= bound)

    def of_track(track):
        counts = [len(bar.notes) for bar in track.bars]
        return level(track, round(sum(counts) / max(sum(map(bool, counts)), 1)))

    def of_bar(track, bar):
        return level(track, len(bar.notes))

    check(score, "note_density_quantile", {}, of_track)
    check_bars(score, "note_density_quantile", {"level": "bar"}, of_bar)


@given(pieces)
def test_mean_density(score):
    def of_track(track):
        return sum(len(bar.notes) for bar in track.bars) / max(len(track.bars), 1)

    check(score, "note_density", {}, of_track)


@given(pieces)
def test_key(score):
    total = [0] * 12
    for track in score.tracks:
        for bar in track.bars:
            for n in bar.notes:
                total[n.pitch % 12] += n.duration_ticks if n.velocity > 0 else 0
    scores = [
        sum(profile[(j - tonic) % 12] * total[j] for j in range(12))
        for profile in (_MAJOR, _MINOR)
        for tonic in range(12)
    ]

    check(score, "key_signature", {}, lambda _: scores.index(max(scores)) if any(total) else 24)


@given(pieces)
def test_pitch_range(score):
    def of_track(track):
        pitches = [n.pitch for bar in track.bars for n in bar.notes]
        return max(pitches) - min(pitches) if pitches else 0

    check(score, "pitch_range", {}, of_track)


@given(pieces)
def test_silence(score):
    def shares(track):
        start = 0
        for bar in track.bars:
            length = int(bar.ts_numerator * (score.resolution * 4 / bar.ts_denominator))
            spans = [
                (n.onset_ticks - start, n.onset_ticks - start + n.duration_ticks) for n in bar.notes
            ]
            if length > 0:
                yield (length - len(sounding(spans, 0, length))) / length
            start += length

    def of_track(track):
        values = list(shares(track))
        return sum(values) / len(values) if values else 0.0

    check(score, "silence_proportion", {}, of_track)


@given(pieces)
def test_pitch_classes(score):
    def of_track(track):
        return len({n.pitch % 12 for bar in track.bars for n in bar.notes})

    def of_bar(_, bar):
        return len({n.pitch % 12 for n in bar.notes})

    check(score, "pitch_class_set", {"level": "track"}, of_track)
    check_bars(score, "pitch_class_set", {"level": "bar"}, of_bar)


@given(pieces)
def test_nomml(score):
    def depth(t):
        for i in range(6):
            if t % (score.resolution / 2**i) == 0:
                return 2 * i
        for i in range(6):
            if t % (2 * score.resolution / (3 * 2**i)) == 0:
                return 2 * i + 1
        return 12

    def of_track(track):
        depths = sorted(depth(n.onset_ticks) for bar in track.bars for n in bar.notes)
        middle = depths[(len(depths) - 1) // 2 : len(depths) // 2 + 1]
        return int(sum(middle) / len(middle)) if depths else 12

    check(score, "nomml", {}, of_track)


@given(pieces)
def test_onset_polyphony(score):
    def of_track(track):
        chords = [Counter(n.onset_ticks for n in bar.notes) for bar in track.bars]
        return max((most for chord in chords for most in chord.values()), default=0)

    check(score, "onset_polyphony", {}, of_track)
