"""How long notes are: the shorter and the longer ones of a track, and the most frequent kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from midigpt.attributes.base import Attribute
from midigpt.attributes.quantiles import QUANTILES, Distribution, Mode, QuantileAttribute

if TYPE_CHECKING:
    from midigpt.attributes.base import TrackType
    from midigpt.attributes.table import IntArray, Level, NoteTable

NAMES = ("32nd", "16th", "8th", "quarter", "half", "whole")
_QUARTER = NAMES.index("quarter")
_TOKEN_TYPES: dict[Level, dict[Mode, str]] = {
    "track": {"min": "MinNoteDuration", "max": "MaxNoteDuration"},
    "bar": {"min": "MinNoteDurationBar", "max": "MaxNoteDurationBar"},
}


class NoteDuration(QuantileAttribute):
    """A quantile of the note values; a dotted note counts as the plain one below it.

    All notes of drum tracks count as quarters. The value is a level: 0 for a 32nd or shorter, 5
    for a whole or longer.
    """

    def __init__(
        self, mode: Mode, level: Level = "track", track_type: TrackType = "melodic"
    ) -> None:
        super().__init__(mode, "note_duration", _TOKEN_TYPES, len(NAMES), level, track_type)

    def measure(self, table: NoteTable) -> IntArray:
        """Note values, shape (tracks,) or (bars,); 0 without notes."""
        return table.once(_note_values, self.level).quantile(QUANTILES[self.mode])

    def value_labels(self) -> list[str]:
        """Names of note values."""
        return list(NAMES)


class NoteDurationDist(Attribute):
    """The most frequent note value, of equally frequent ones the one met first."""

    def __init__(self) -> None:
        super().__init__("note_duration_dist", "NoteDurationDist", len(NAMES), "track", "both")

    def measure(self, table: NoteTable) -> IntArray:
        """Note values, shape (tracks,); a quarter without notes."""
        timed = table.duration > 0
        thirty_seconds = table.duration[timed] / (table.score.resolution / 8)
        value = np.minimum(np.log2(np.maximum(thirty_seconds, 1)), len(NAMES) - 1).astype(np.int64)
        track = table.track[timed]
        count = np.zeros((len(table.tracks), len(NAMES)), np.int64)
        np.add.at(count, (track, value), 1)
        met = np.full(count.shape, len(value))
        np.minimum.at(met, (track, value), np.arange(len(value)))
        frequent = count == count.max(axis=1, keepdims=True)
        first = np.where(frequent, met, len(value) + 1).argmin(axis=1)
        return np.where(count.any(axis=1), first, _QUARTER)

    def value_labels(self) -> list[str]:
        """Names of note values."""
        return list(NAMES)


def _note_values(table: NoteTable, level: Level) -> Distribution:
    quarters = table.duration / max(table.score.resolution, 1)
    quarters[table.is_drum[table.track]] = 1.0
    value = np.clip(np.log2(np.maximum(quarters, 1e-6)) + _QUARTER, 0, len(NAMES) - 1)
    return Distribution(table.groups(level), value.astype(np.int64))
