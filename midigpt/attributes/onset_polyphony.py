"""How many notes start together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import Attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.table import IntArray, NoteTable


class OnsetPolyphony(Attribute):
    """The largest number of notes of a track that start at the same tick of a bar.

    Levels go up to 127, further than the tokens.
    """

    def __init__(self) -> None:
        super().__init__("onset_polyphony", "OnsetPolyphony", 10, "track", "melodic")

    def measure(self, table: NoteTable) -> IntArray:
        """Notes, shape (tracks,)."""
        order = np.lexsort((table.onset, table.bar))
        moved = (np.diff(table.bar[order]) != 0) | (np.diff(table.onset[order]) != 0)
        chord = np.concatenate([[0], np.cumsum(moved)])[: len(order)]
        sizes = np.bincount(chord)
        most = np.zeros(len(table.tracks), np.int64)
        np.maximum.at(most, table.track[order], sizes[chord])
        return most

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Notes."""
        return np.minimum(values.astype(np.int64), 127)
