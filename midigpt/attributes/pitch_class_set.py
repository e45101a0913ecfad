"""How many different pitch classes are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import LEVELS, Attribute, one_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.base import TrackType
    from midigpt.attributes.table import IntArray, Level, NoteTable

_NAMES: dict[Level, tuple[str, str]] = {
    "track": ("pitch_class_set_track", "PitchClassSetTrack"),
    "bar": ("pitch_class_set", "BarLevelPitchClassSet"),
}


class PitchClassSet(Attribute):
    """The number of distinct pitch classes of a bar or track.

    The tokenizer does not write it: see :data:`midigpt.tokens.types.SILENT_LEVELS`.
    """

    def __init__(self, level: Level = "bar", track_type: TrackType = "melodic") -> None:
        name, token_type = _NAMES[one_of("level", level, LEVELS)]
        super().__init__(name, token_type, 13, level, track_type)

    def measure(self, table: NoteTable) -> IntArray:
        """Pitch classes, shape (tracks,) or (bars,)."""
        groups = table.groups(self.level)
        used = np.zeros((groups.size, 12), np.bool_)
        used[groups.of, table.pitch % 12] = True
        distinct: IntArray = used.sum(axis=1)
        return distinct

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Pitch classes."""
        return np.minimum(values.astype(np.int64), 12)

    def value_labels(self) -> list[str]:
        """Numbers of pitch classes."""
        return ["0 pitch classes", "1 pitch class", *(f"{n} pitch classes" for n in range(2, 13))]
