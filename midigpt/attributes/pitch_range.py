"""How far apart the lowest and the highest note are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import Attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.table import IntArray, NoteTable


class PitchRange(Attribute):
    """Semitones from the lowest to the highest pitch of a track; 0 without notes."""

    def __init__(self) -> None:
        super().__init__("pitch_range", "TrackLevelPitchRangeMax", 128, "track", "melodic")

    def measure(self, table: NoteTable) -> IntArray:
        """Semitones, shape (tracks,)."""
        integers = np.iinfo(np.int64)
        lowest = np.full(len(table.tracks), integers.max)
        highest = np.full(len(table.tracks), integers.min)
        np.minimum.at(lowest, table.track, table.pitch)
        np.maximum.at(highest, table.track, table.pitch)
        return np.where(lowest <= highest, highest - lowest, 0)

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Semitones."""
        return np.minimum(values.astype(np.int64), self.size - 1)

    def value_labels(self) -> list[str]:
        """Numbers of semitones."""
        return ["0 semitones", "1 semitone", *(f"{n} semitones" for n in range(2, self.size))]
