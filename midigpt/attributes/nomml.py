"""How closely a track keeps to the beat (NOMML: the median of metric depths)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.attributes.base import Attribute
from midigpt.attributes.quantiles import Distribution
from midigpt.attributes.table import NoteTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midigpt.attributes.table import IntArray
    from midigpt.score import Score

RAW = "_nomml_raw"
"""Track attribute that holds a value measured earlier, at a finer resolution."""

FREE = 12
_VALUES = ("quarter", "8th", "16th", "32nd", "64th", "128th")


class Nomml(Attribute):
    """The median, over the notes of a track, of how fine a grid their onsets need.

    Even depths are grids of quarters, eighths, ... 128ths, odd ones their triplets, 12 is none of
    these. At 12 ticks per quarter nothing finer than depth 7 can be seen: to keep the value of the
    original, store that of :func:`nomml_per_track` as the track's attribute ``_nomml_raw``.
    """

    def __init__(self) -> None:
        super().__init__("nomml", "TrackLevelNomml", FREE + 1, "track", "both")

    def measure(self, table: NoteTable) -> NDArray[Any]:
        """Depths, shape (tracks,); 12 without notes."""
        medians = _medians(table).tolist()
        return np.array(
            [
                track.attributes.get(RAW, depth)
                for track, depth in zip(table.tracks, medians, strict=True)
            ]
        )

    def levels(self, values: NDArray[Any]) -> IntArray:
        """Depths."""
        depths: IntArray = np.rint(values).astype(np.int64)
        return np.clip(depths, 0, FREE)

    def dequantize(self, level: int) -> int:
        """The depth of a level."""
        return level

    def value_labels(self) -> list[str]:
        """Names of grids."""
        return [name for value in _VALUES for name in (value, f"{value} triplet")] + ["free"]


def nomml_per_track(score: Score) -> list[int]:
    """The median depth of every track's notes, whatever is stored in its attributes."""
    depths: list[int] = _medians(NoteTable(score)).tolist()
    return depths


def _medians(table: NoteTable) -> IntArray:
    depths = Distribution(table.groups("track"), _depths(table.onset, table.score.resolution))
    middle = depths.at((depths.size - 1) // 2) + depths.at(depths.size // 2)
    return np.where(depths.size > 0, middle // 2, FREE)


def _depths(onset: IntArray, resolution: int) -> IntArray:
    depth = np.full(len(onset), FREE)
    for period, number in reversed(_grids(resolution)):
        depth[np.mod(onset, period) == 0] = number
    return depth


def _grids(resolution: int) -> list[tuple[float, int]]:
    """Period in ticks and depth of every grid; the first that has an onset counts."""
    straight = [(resolution / 2**i, 2 * i) for i in range(6)]
    triplet = [(2 * resolution / (3 * 2**i), 2 * i + 1) for i in range(6)]
    return straight + triplet
