"""How much of a track is silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import LEVELS, Attribute, one_of
from midigpt.attributes.voices import sounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.base import TrackType
    from midigpt.attributes.table import FloatArray, IntArray, Level, NoteTable
    from midigpt.score import Bar

_NAMES: dict[Level, tuple[str, str]] = {
    "track": ("silence_proportion", "TrackLevelSilenceProportionMax"),
    "bar": ("bar_silence_proportion", "SilenceProportionBar"),
}


class SilenceProportion(Attribute):
    """The silent share of a bar, or its mean over the bars of a track.

    It is measured as in the training of the published models, which took the ticks of a note, that
    count from its bar, as counted from the start of the track. So notes are heard in the first bar
    only, or where they are so long that they reach over all bars before their own.
    """

    def __init__(self, level: Level = "track", track_type: TrackType = "both") -> None:
        name, token_type = _NAMES[one_of("level", level, LEVELS)]
        super().__init__(name, token_type, 10, level, track_type)

    def measure(self, table: NoteTable) -> FloatArray:
        """Shares from 0.0 to 1.0, shape (tracks,) or (bars,)."""
        lengths = np.array([_ticks(bar, table.score.resolution) for bar in table.bars], np.int64)
        start = table.onset - table.starts(lengths)[table.bar]
        limit = lengths[table.bar]
        runs = sounding(
            table.bar, np.clip(start, 0, limit), np.clip(start + table.duration, 0, limit)
        )
        covered = np.bincount(runs.group, runs.ticks, len(lengths))
        silent = (lengths - covered) / np.maximum(lengths, 1)
        if self.level == "bar":
            return silent
        timed = lengths > 0
        track = table.bar_track[timed]
        total = np.bincount(track, silent[timed], len(table.tracks))
        return total / np.maximum(np.bincount(track, minlength=len(table.tracks)), 1)

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Tenths."""
        return np.clip((10 * values).astype(np.int64), 0, 9)

    def value_labels(self) -> list[str]:
        """Percentages."""
        return [f"{10 * n}-{10 * n + 10}%" for n in range(10)]


def _ticks(bar: Bar, resolution: int) -> int:
    return int(bar.ts_numerator * (resolution * 4 / bar.ts_denominator))
