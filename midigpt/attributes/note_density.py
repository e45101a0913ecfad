"""How many notes a bar has."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import LEVELS, Attribute, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from midigpt.attributes.base import TrackType
    from midigpt.attributes.table import FloatArray, IntArray, Level, NoteTable
    from midigpt.score import Score, Track

_DRUMS = 128
_NAMES: dict[Level, tuple[str, str]] = {
    "track": ("note_density", "NoteDensity"),
    "bar": ("bar_note_density", "BarLevelOnsetDensity"),
}


def _read_bounds() -> IntArray:
    data = resources.files("midigpt.attributes").joinpath("density_quantiles.json")
    rows = json.loads(data.read_text(encoding="utf-8"))["thresholds"]
    return np.array([rows[str(row)] for row in range(_DRUMS + 1)], np.int64)


BOUNDS = _read_bounds()
"""Highest number of notes of every level, shape (129, 10): a row per program, one for drums."""


class NoteDensityQuantile(Attribute):
    """Notes per bar, compared with other music for the same instrument.

    The value is a level: 0 for the tenth of bars with the fewest notes, 9 for the one with most.
    Bars without notes do not count in a track's average.
    """

    def __init__(self, level: Level = "track", track_type: TrackType = "drum") -> None:
        name, token_type = _NAMES[one_of("level", level, LEVELS)]
        super().__init__(name, token_type, 10, level, track_type)

    def measure(self, table: NoteTable) -> IntArray:
        """Levels, shape (tracks,) or (bars,)."""
        row = np.array([_row(track) for track in table.tracks], np.int64)
        notes = np.bincount(table.bar, minlength=len(table.bars))
        if self.level == "bar":
            return _level(row[table.bar_track], notes)
        total = np.bincount(table.track, minlength=len(table.tracks))
        filled = np.bincount(table.bar_track[notes > 0], minlength=len(table.tracks))
        return _level(row, np.rint(total / np.maximum(filled, 1)))

    def value_labels(self) -> list[str]:
        """Tenths."""
        return ["sparsest (Q0)", *(f"Q{n}" for n in range(1, 9)), "densest (Q9)"]

    def achievable_range(
        self, score: Score, track_idx: int, generated_bars: Iterable[int]
    ) -> tuple[int, int]:
        """From empty new bars to new bars as full as they can be."""
        if self.level == "bar" or not 0 <= track_idx < len(score.tracks):
            return 0, self.size - 1
        track, generated = score.tracks[track_idx], set(generated_bars)
        kept = [len(bar.notes) for b, bar in enumerate(track.bars) if b not in generated]
        notes, filled = sum(kept), sum(map(bool, kept))
        row = np.array([_row(track)])
        most = notes + int(BOUNDS[row[0], -1]) * len(generated)
        low, high = (
            int(_level(row, np.array([round(total / max(bars, 1))]))[0])
            for total, bars in ((notes, filled), (most, filled + len(generated)))
        )
        return low, max(low, high)


class NoteDensity(Attribute):
    """The mean number of notes of all bars, empty ones too.

    Levels go up to 127, further than the tokens.
    """

    def __init__(self) -> None:
        super().__init__("note_density", "NoteDensity", 10, "track", "melodic")

    def measure(self, table: NoteTable) -> FloatArray:
        """Notes per bar, shape (tracks,)."""
        notes = np.bincount(table.track, minlength=len(table.tracks))
        bars = np.bincount(table.bar_track, minlength=len(table.tracks))
        return notes / np.maximum(bars, 1)

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Whole notes per bar."""
        return np.minimum(values.astype(np.int64), 127)


def _row(track: Track) -> int:
    if track.is_drum:
        return _DRUMS
    return track.instrument if 0 <= track.instrument <= _DRUMS else 0


def _level(row: IntArray, notes: NDArray[Any]) -> IntArray:
    passed: IntArray = (BOUNDS[row] < notes[:, None]).sum(axis=1)
    return passed.clip(max=BOUNDS.shape[1] - 1)
