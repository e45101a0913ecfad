"""How tense the music is, from bar to bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import Attribute
from midigpt.attributes.tension_curve import bar_tension

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.base import TrackType
    from midigpt.attributes.table import FloatArray, IntArray, NoteTable

_UPPER = (0.2533471031357997, 0.5244005127080407, 0.8416212335729143, 1.2815515655446004)
EDGES = np.array([*(-edge for edge in reversed(_UPPER)), 0.0, *_UPPER])
"""Deciles of the standard normal distribution, shape (9,)."""


class _Tension(Attribute):
    def __init__(self, name: str, token_type: str, track_type: TrackType) -> None:
        super().__init__(name, token_type, len(EDGES) + 1, "bar", track_type)

    def measure(self, table: NoteTable) -> FloatArray:
        """Tension in standard deviations, shape (bars,); 0.0 on tracks of the other kind."""
        return np.concatenate(
            [
                bar_tension(table, t) if self.applies_to(track) else np.zeros(len(track.bars))
                for t, track in enumerate(table.tracks)
            ]
            or [np.zeros(0)]
        )

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Tenths of a normal distribution."""
        return np.searchsorted(EDGES, values, side="right")


class Tension(_Tension):
    """The course of tension through a melodic track (after Farbood), averaged over every bar.

    It rises and falls with the pace of onsets, the melody, loudness, harmony and dissonance.
    """

    def __init__(self) -> None:
        super().__init__("tension", "Tension", "melodic")


class TensionDrum(_Tension):
    """The same for a drum track, of which only the pace of onsets and loudness count."""

    def __init__(self) -> None:
        super().__init__("tension_drum", "TensionDrum", "drum")
