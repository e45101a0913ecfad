"""Attribute levels: those of a track, and those of its bars, which a track stores side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midigpt.score import Score, Track
from midigpt.tokens.types import bar_key

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Levels:
    """The levels of a track.

    Attributes:
        track: its own, by attribute name.
        bars: by bar, those of the bar by token type, or by the name the decoder has for it.
    """

    track: dict[str, int] = field(default_factory=dict)
    bars: dict[int, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def stored(cls, attributes: Mapping[str, int], start: int = 0) -> Levels:
        """Those that a track stores whose first bar is bar ``start`` of the piece."""
        levels = cls()
        for key, level in attributes.items():
            place = _bar_of(key)
            if place is None:
                levels.track[key] = level
            else:
                name, bar = place
                levels.bars.setdefault(start + bar, {})[name] = level
        return levels

    def as_stored(self, start: int = 0) -> dict[str, int]:
        """As a track stores them whose first bar is bar ``start`` of the piece."""
        return self.track | {
            bar_key(name, bar - start): level
            for bar, levels in self.bars.items()
            for name, level in levels.items()
        }

    def of_bars(self, bars: range) -> Levels:
        """The levels of the track and of these bars only."""
        return Levels(self.track, {b: self.bars[b] for b in bars if b in self.bars})


def cut(score: Score, window: tuple[int, int]) -> Score:
    """The bars of a window, with the levels of the tracks and of these bars."""
    start, end = window
    return Score(
        [
            Track(
                track.bars[start:end],
                track.instrument,
                track.track_type,
                Levels.stored(track.attributes).of_bars(range(start, end)).as_stored(start),
            )
            for track in score.tracks
        ],
        score.resolution,
        score.tempo,
    )


def _bar_of(key: str) -> tuple[str, int] | None:
    """The token type and bar that a key speaks of; None if it speaks of the whole track."""
    prefix, _, index = key.rpartition("_")
    if not (prefix.startswith("bar_") and index.isdecimal() and index.isascii()):
        return None
    return prefix.removeprefix("bar_"), int(index)
