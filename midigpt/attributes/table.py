"""A score as columns of numbers: what every attribute is measured on."""

from __future__ import annotations

from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from midigpt.score import Score

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Level = Literal["track", "bar"]
T = TypeVar("T")


class Groups(NamedTuple):
    """Which notes belong together.

    Attributes:
        of: the group of every note, shape (notes,).
        size: the number of groups; some may have no notes.
    """

    of: IntArray
    size: int


class NoteTable:
    """The notes of a score, or of one of its tracks, as parallel arrays.

    Notes stand in the order of the score. Tracks and bars are numbered through the table: its bars
    are those of its first track, then those of the next. Columns are made when first asked for and
    kept as long as the table, which therefore must not outlive a change to the score.

    Attributes:
        score: the whole score.
        tracks: the tracks of this table.
        bars: their bars.
        notes: their notes.
    """

    def __init__(self, score: Score, track: int | None = None) -> None:
        self.score = score
        self.tracks = score.tracks if track is None else [score.tracks[track]]
        self.bars = [bar for track in self.tracks for bar in track.bars]
        self.notes = [note for bar in self.bars for note in bar.notes]
        self._is_whole = track is None
        self._results: dict[Any, Any] = {}

    @cached_property
    def whole(self) -> NoteTable:
        """The table of all tracks of the score."""
        return self if self._is_whole else NoteTable(self.score)

    @cached_property
    def bar_track(self) -> IntArray:
        """The track of every bar, shape (bars,)."""
        counts = np.array([len(track.bars) for track in self.tracks], np.int64)
        return np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def bar(self) -> IntArray:
        """The bar of every note, shape (notes,)."""
        counts = np.array([len(bar.notes) for bar in self.bars], np.int64)
        return np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def track(self) -> IntArray:
        """The track of every note, shape (notes,)."""
        return self.bar_track[self.bar]

    @cached_property
    def is_drum(self) -> NDArray[np.bool_]:
        """Whether every track is a drum track, shape (tracks,)."""
        return np.array([track.is_drum for track in self.tracks], np.bool_)

    @cached_property
    def pitch(self) -> IntArray:
        """MIDI pitches, shape (notes,)."""
        return self._column("pitch")

    @cached_property
    def velocity(self) -> IntArray:
        """MIDI velocities, shape (notes,)."""
        return self._column("velocity")

    @cached_property
    def onset(self) -> IntArray:
        """Ticks from the start of the note's bar, shape (notes,)."""
        return self._column("onset_ticks")

    @cached_property
    def duration(self) -> IntArray:
        """Ticks, shape (notes,)."""
        return self._column("duration_ticks")

    def groups(self, level: Level) -> Groups:
        """The notes by track, or by bar."""
        if level == "track":
            return Groups(self.track, len(self.tracks))
        return Groups(self.bar, len(self.bars))

    def starts(self, lengths: IntArray) -> IntArray:
        """Where every bar starts, in ticks from the start of its track, given their lengths."""
        before: IntArray = np.cumsum(lengths) - lengths
        first = np.searchsorted(self.bar_track, self.bar_track)
        return before - before[first]

    def once(self, measure: Callable[[NoteTable, Level], T], level: Level) -> T:
        """``measure(self, level)``, computed for the first attribute that needs it."""
        key = (measure, level)
        if key not in self._results:
            self._results[key] = measure(self, level)
        result: T = self._results[key]
        return result

    def _column(self, member: str) -> IntArray:
        return np.fromiter(map(attrgetter(member), self.notes), np.int64, len(self.notes))
