"""The key a score is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from midigpt.attributes.base import Attribute

if TYPE_CHECKING:
    from midigpt.attributes.table import IntArray, Level, NoteTable

NO_KEY = 24
_TONICS = ("C", "C#/Db", "D", "D#/Eb", "E", "F", "F#/Gb", "G", "G#/Ab", "A", "A#/Bb", "B")
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_PROFILES = np.array(
    [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
)


class KeySignature(Attribute):
    """The key whose profile fits best how long every pitch class sounds.

    It is that of the whole score, drums included, and so the same for all its tracks. The value is
    a level: 0 to 11 for C to B major, 12 to 23 for C to B minor, 24 without notes.
    """

    def __init__(self) -> None:
        super().__init__("key_signature", "KeySignature", NO_KEY + 1, "track", "melodic")

    def measure(self, table: NoteTable) -> IntArray:
        """The same key for every track, shape (tracks,)."""
        return np.full(len(table.tracks), table.whole.once(_key, "track"))

    def value_labels(self) -> list[str]:
        """Names of keys."""
        return [f"{tonic} {mode}" for mode in ("major", "minor") for tonic in _TONICS] + ["no key"]


def _key(table: NoteTable, _: Level) -> int:
    length = np.where(table.velocity > 0, table.duration, 0)
    total = np.bincount(table.pitch % 12, length, minlength=12)
    if not total.any():
        return NO_KEY
    # a running sum adds up in ascending order, which decides ties as training did
    fit = np.cumsum(_PROFILES * total, axis=1)[:, -1]
    return int(fit.argmax())
