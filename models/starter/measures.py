"""Measures of generated music: against its context, and against what was asked for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from composer import Key

    from midigpt.score import Bar, Note


def in_key(notes: Iterable[Note], key: Key) -> list[bool]:
    """Whether each note belongs to the key."""
    return [note.pitch % 12 in key.pitch_classes for note in notes]


def range_distance(bars: Sequence[Bar], others: Sequence[Bar]) -> float | None:
    """Semitones between the lowest notes and between the highest notes, on average."""
    here = [note.pitch for bar in bars for note in bar.notes]
    there = [note.pitch for bar in others for note in bar.notes]
    if not here or not there:
        return None
    return (abs(min(here) - min(there)) + abs(max(here) - max(there))) / 2


def onset_distance(bars: Sequence[Bar], others: Sequence[Bar]) -> float | None:
    """The share of onsets that would have to be moved to another place in the bar, 0 to 1."""
    here = Counter(note.onset_ticks for bar in bars for note in bar.notes)
    there = Counter(note.onset_ticks for bar in others for note in bar.notes)
    if not here or not there:
        return None
    shares = ((here[t] / here.total(), there[t] / there.total()) for t in here | there)
    return sum(abs(a - b) for a, b in shares) / 2


def repeats(bar: Bar, others: Iterable[Bar]) -> bool:
    """Whether another bar has the same notes at the same places."""
    return any(_content(bar) == _content(other) for other in others)


def _content(bar: Bar) -> list[tuple[int, int]]:
    return sorted((note.onset_ticks, note.pitch) for note in bar.notes)


def rank_correlation(pairs: Sequence[tuple[int, int]]) -> float:
    """Spearman's rank correlation; 0 where one side never varies."""
    first, second = (_ranks([pair[side] for pair in pairs]) for side in (0, 1))
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Places in ascending order; equal values share the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    shared: np.ndarray[tuple[int], np.dtype[np.float64]] = (ends - (count - 1) / 2)[group]
    return shared
