"""Quantiles of many groups of values at once, and the attributes that are such quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from midigpt.attributes.base import LEVELS, Attribute, TrackType, one_of
from midigpt.score import Bar, Score, Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from midigpt.attributes.table import Groups, IntArray, Level

Mode = Literal["min", "max"]
MODES: tuple[Mode, ...] = get_args(Mode)
QUANTILES = {"min": 0.15, "max": 0.85}


class Distribution:
    """The values of every group in ascending order.

    Args:
        groups: the group of every value, and the number of groups.
        value: the values, shape (values,).
        weight: how often every value occurs, shape (values,); once by default.
    """

    def __init__(self, groups: Groups, value: IntArray, weight: IntArray | None = None) -> None:
        order = np.lexsort((value, groups.of))
        weight = np.ones_like(value) if weight is None else weight
        self._value = value[order]
        self._reached = np.cumsum(weight[order])
        ends = np.searchsorted(groups.of[order], np.arange(groups.size), side="right")
        total = np.concatenate([[0], self._reached])[ends]
        self.size: IntArray = np.diff(total, prepend=0)
        self._before = total - self.size

    def quantile(self, q: float) -> IntArray:
        """The value at a share ``q`` of every group, shape (groups,); 0 for an empty one."""
        return self.at(np.minimum(np.rint(self.size * q).astype(np.int64), self.size - 1))

    def at(self, rank: IntArray) -> IntArray:
        """The value of every group at ``rank``, counted from 0; 0 for an empty group."""
        place = np.searchsorted(self._reached, self._before + rank, side="right")
        result = np.zeros_like(self.size)
        filled = self.size > 0
        result[filled] = self._value[place[filled]]
        return result


class QuantileAttribute(Attribute):
    """A low or high quantile of something that notes have."""

    def __init__(
        self,
        mode: Mode,
        subject: str,
        token_types: Mapping[Level, Mapping[Mode, str]],
        size: int,
        level: Level,
        track_type: TrackType,
    ) -> None:
        self.mode: Mode = one_of("mode", mode, MODES)
        level = one_of("level", level, LEVELS)
        name = f"{mode}_{subject}" if level == "track" else f"bar_{mode}_{subject}"
        super().__init__(name, token_types[level][mode], size, level, track_type)

    def achievable_range(
        self, score: Score, track_idx: int, generated_bars: Iterable[int]
    ) -> tuple[int, int]:
        """New notes can raise a maximum over that of the bars that stay, and lower a minimum."""
        top = self.size - 1
        if self.level == "bar" or not 0 <= track_idx < len(score.tracks):
            return 0, top
        kept = _emptied(score.tracks[track_idx], set(generated_bars))
        fixed = self.quantize(self.compute(Score([kept], score.resolution), 0))
        return (0, fixed) if self.mode == "min" else (fixed, top)


def _emptied(track: Track, generated: set[int]) -> Track:
    bars = [
        Bar(
            [] if b in generated else bar.notes,
            bar.ts_numerator,
            bar.ts_denominator,
            bar.beat_length,
        )
        for b, bar in enumerate(track.bars)
    ]
    return Track(bars, track.instrument, track.track_type)
