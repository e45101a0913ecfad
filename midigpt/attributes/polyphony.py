"""How many notes sound at the same time, at quiet and at dense moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.quantiles import QUANTILES, Distribution, Mode, QuantileAttribute
from midigpt.attributes.table import Groups
from midigpt.attributes.voices import sounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.base import TrackType
    from midigpt.attributes.table import IntArray, Level, NoteTable

_TOKEN_TYPES: dict[Level, dict[Mode, str]] = {
    "track": {"min": "MinPolyphony", "max": "MaxPolyphony"},
    "bar": {"min": "BarLevelOnsetPolyphonyMin", "max": "BarLevelOnsetPolyphonyMax"},
}


class Polyphony(QuantileAttribute):
    """A quantile, over the ticks in which anything sounds, of the number of sounding notes.

    The value is a number of voices, 0 in silence; level i stands for i + 1 voices, the last one for
    ten or more. A note held over from an earlier bar does not count in a bar.
    """

    def __init__(
        self, mode: Mode, level: Level = "track", track_type: TrackType = "melodic"
    ) -> None:
        super().__init__(mode, "polyphony", _TOKEN_TYPES, 10, level, track_type)

    def measure(self, table: NoteTable) -> IntArray:
        """Voices, shape (tracks,) or (bars,)."""
        return table.once(_voices, self.level).quantile(QUANTILES[self.mode])

    def levels(self, values: NDArray[Any]) -> IntArray:
        """One voice is level 0, and so is silence."""
        return np.clip(values.astype(np.int64), 1, 10) - 1

    def value_labels(self) -> list[str]:
        """Numbers of voices."""
        return ["1 voice", *(f"{n} voices" for n in range(2, 10)), "10+ voices"]


def _voices(table: NoteTable, level: Level) -> Distribution:
    groups = table.groups(level)
    lengths = np.array(
        [round(bar.beat_length * table.score.resolution) for bar in table.bars], np.int64
    )
    if level == "track":
        start = table.starts(lengths)[table.bar] + table.onset
        end = start + table.duration
        limit = np.zeros(groups.size, np.int64)
        np.maximum.at(limit, groups.of, end)
    else:
        start, limit = table.onset, lengths
        end = start + table.duration
    # the published models learned from counts without the last tick
    end = np.minimum(end, limit[groups.of] - 1)
    runs = sounding(groups.of, np.maximum(start, 0), end)
    return Distribution(Groups(runs.group, groups.size), runs.voices, runs.ticks)
