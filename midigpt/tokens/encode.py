"""From a score on the token grid to tokens."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from midigpt.errors import EncodingError
from midigpt.tokens.types import bar_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from midigpt.score import Bar, Note, Score, Track
    from midigpt.tokens.ids import Clamped, TokenIds

_onset_then_pitch = attrgetter("onset_ticks", "pitch")


@dataclass(frozen=True)
class EncodeOptions:
    """How much of a score to write, and with which switches.

    Attributes:
        partial_encode_track_index: a track that is left open at its end; -1 for none.
        partial_encode_track_bars: how many bars of that track to write; -1 for all, and its end.
        multi_fill: (track, bar) pairs whose notes are written at the end, as fill blocks.
        window_bars: the number of bars announced; 0 for that of the longest track.
        use_span_masks: write ``future`` bars without notes and report their tokens as hidden.
        remove_future_bars: write ``future`` bars without notes and levels; wins over all others.
        use_velocity: 0 leaves velocities out; anything else is on.
        use_microtiming: 0 leaves microtiming out; anything else is on.
        genre: number of the genre; -1 for none.
    """

    partial_encode_track_index: int = -1
    partial_encode_track_bars: int = -1
    multi_fill: frozenset[tuple[int, int]] = frozenset()
    window_bars: int = 0
    use_span_masks: bool = False
    remove_future_bars: bool = False
    use_velocity: int = -1
    use_microtiming: int = -1
    genre: int = -1


class Encoded(NamedTuple):
    """Token ids, and the half-open ranges of them that nothing may attend to."""

    tokens: list[int]
    hidden_spans: list[tuple[int, int]]


def encode_grid(
    ids: TokenIds, grid: Score, levels: Sequence[Mapping[str, int]], options: EncodeOptions
) -> Encoded:
    """The tokens of a score.

    Args:
        ids: the ids of the encoder.
        grid: the score, at the resolution of the token grid.
        levels: per track, the attribute levels to write.
        options: what to write.

    Raises:
        EncodingError: something that has no tokens: a meter, a number of bars, bars to be filled,
            or a hidden bar where nothing hides it.
    """
    _check_fills(ids, grid, options)
    writer = _Writer(ids, options)
    writer.head(grid)
    for t, track in enumerate(grid.tracks):
        writer.track(t, track, levels[t])
    writer.fills(grid)
    return Encoded(writer.tokens, writer.hidden_spans)


def _check_fills(ids: TokenIds, grid: Score, options: EncodeOptions) -> None:
    if options.multi_fill and not ids.can_fill:
        raise EncodingError("multi_fill: this encoder cannot fill in bars")
    for t, b in sorted(options.multi_fill):
        if not (0 <= t < len(grid.tracks) and 0 <= b < len(grid.tracks[t].bars)):
            raise EncodingError(f"multi_fill: track {t} has no bar {b}")


class _Writer:
    """The tokens so far, and how to write more."""

    def __init__(self, ids: TokenIds, options: EncodeOptions) -> None:
        self._ids = ids
        self._options = options
        self.tokens: list[int] = []
        self.hidden_spans: list[tuple[int, int]] = []

    def head(self, score: Score) -> None:
        """What comes before the first track."""
        ids, options = self._ids, self._options
        self._value(ids.piece_start, int(bool(options.multi_fill)))
        self._value(ids.use_velocity, int(options.use_velocity != 0))
        self._value(ids.use_microtiming, int(options.use_microtiming != 0))
        if options.genre >= 0:
            self._value(ids.genre, options.genre)
        if ids.num_bars:
            longest = max((len(track.bars) for track in score.tracks), default=0)
            bars = options.window_bars if options.window_bars > 0 else longest or 4
            self._value(ids.num_bars, self._window(bars))

    def track(self, t: int, track: Track, levels: Mapping[str, int]) -> None:
        """One track; of the partial one only the bars asked for, and not its end."""
        ids, options = self._ids, self._options
        self._value(ids.track, int(track.is_drum))
        if ids.instrument:
            self.tokens.append(ids.instrument.get(track.instrument, ids.instrument[0]))
        for name, level_ids in ids.track_levels:
            if name in levels:
                self.tokens.append(level_ids[levels[name]])
        count = options.partial_encode_track_bars
        partial = t == options.partial_encode_track_index and count >= 0
        bars = track.bars[:count] if partial else track.bars
        for b, bar in enumerate(bars):
            self._bar(t, b, bar, drum=track.is_drum, levels=levels)
        if not partial:
            self.tokens += ids.track_end

    def fills(self, score: Score) -> None:
        """The notes of the bars left open, and the end of the piece."""
        for t, b in sorted(self._options.multi_fill):
            track = score.tracks[t]
            self.tokens += self._ids.fill_start
            self._notes(track.bars[b].notes, drum=track.is_drum)
            self.tokens += self._ids.fill_end
        self.tokens += self._ids.piece_end

    def _value(self, by_value: Clamped, value: int) -> None:
        if by_value:
            self.tokens.append(by_value[value])

    def _window(self, bars: int) -> int:
        windows = self._ids.windows
        if windows and bars not in windows:
            raise EncodingError(f"{bars} bars: this encoder takes {sorted(windows)} bars")
        return windows.get(bars, bars)

    def _bar(self, t: int, b: int, bar: Bar, *, drum: bool, levels: Mapping[str, int]) -> None:
        ids, start = self._ids, len(self.tokens)
        removed = bar.future and self._options.remove_future_bars
        self.tokens += ids.bar
        if not removed:
            for name, level_ids in ids.bar_levels:
                level = levels.get(bar_key(name, b))
                if level is not None:
                    self.tokens.append(level_ids[level])
        self._meter(bar)
        hidden = not removed and self._content(t, b, bar, drum=drum)
        self.tokens += ids.bar_end
        if hidden:
            self.hidden_spans.append((start, len(self.tokens)))

    def _meter(self, bar: Bar) -> None:
        meters = self._ids.meter
        if meters:
            meter = (bar.ts_numerator, bar.ts_denominator)
            if meter not in meters:
                known = ", ".join(f"{n}/{d}" for n, d in meters)
                raise EncodingError(f"time signature {meter[0]}/{meter[1]} is none of {known}")
            self.tokens.append(meters[meter])
        self.tokens += self._ids.any_meter

    def _content(self, t: int, b: int, bar: Bar, *, drum: bool) -> bool:
        """What a bar holds; true if the bar is to be hidden from attention."""
        if (t, b) in self._options.multi_fill:
            self.tokens += self._ids.placeholder
        elif not bar.future:
            self._notes(bar.notes, drum=drum)
        elif self._options.use_span_masks:
            return True
        elif self._ids.mask_bar:
            self.tokens += self._ids.mask_bar
        else:
            raise EncodingError(
                f"bar {b} of track {t} is hidden: use_span_masks or remove_future_bars must be "
                "set, because this encoder has no MaskBar"
            )
        return False

    def _notes(self, notes: Iterable[Note], *, drum: bool) -> None:
        ids, put = self._ids, self.tokens.append
        velocities = ids.velocity if self._options.use_velocity != 0 else None
        deltas = ids.delta if self._options.use_microtiming != 0 else None
        durations = None if drum else ids.duration
        onset, last_velocity = 0, -1
        for note in sorted(notes, key=_onset_then_pitch):
            if note.onset_ticks > 0 and note.onset_ticks != onset:
                onset = note.onset_ticks
                self._value(ids.position, onset)
            if velocities:
                velocity = velocities[note.velocity]
                if velocity != last_velocity or not ids.sticky:
                    put(velocity)
                    last_velocity = velocity
            if deltas and note.delta:
                if note.delta < 0:
                    self.tokens += ids.negative
                put(deltas[abs(note.delta)])
            if ids.pitch:
                put(ids.pitch[note.pitch])
            if durations:
                put(durations[note.duration_ticks])
