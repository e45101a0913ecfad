"""The order of work: which bars are written together, and which bars the model sees meanwhile.

Everything here is a pure function. Tracks are counted from 0, bars are counted from the start of
the piece, and all ranges are half open.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Range = tuple[int, int]


Cell = tuple[int, int]
"""A track and a bar."""


@dataclass(frozen=True)
class Step:
    """One prompt and what is written from it.

    Attributes:
        window: the bars the model sees.
        autoregressive: whether one track is continued, or bars are filled in.
        targets: the cells that are written.
    """

    window: tuple[int, int]
    autoregressive: bool
    targets: frozenset[Cell]

    @property
    def bars(self) -> dict[int, list[int]]:
        """The bars that are written, by track."""
        return {
            track: [bar for _, bar in cells]
            for track, cells in groupby(sorted(self.targets), key=itemgetter(0))
        }

    @property
    def active_track(self) -> int:
        """The track of the targets, where they are all in one (as in every continuation)."""
        (track,) = {track for track, _ in self.targets}
        return track


def plan(
    selected: Sequence[Sequence[bool]],
    autoregressive: Sequence[bool],
    *,
    window: int,
    bars_per_step: int,
    tracks_per_step: int,
    ar_overlap: float,
    min_overlap: int,
) -> list[Step]:
    """The steps that write the selected bars: continuations track by track, then fills.

    Args:
        selected: per track and bar, whether it is to be written; at least one track.
        autoregressive: per track, whether it is continued.
        window: bars the model sees at a time.
        bars_per_step: most bars of a step; 0 leaves it to the planner.
        tracks_per_step: most tracks filled in by a step; 0 for all of them.
        ar_overlap: share of the window that a continuation keeps as history, where
            ``bars_per_step`` is 0.
        min_overlap: the least number of bars it keeps.
    """
    bars = len(selected[0])
    wanted = {
        t: [b for b, chosen in enumerate(row) if chosen]
        for t, row in enumerate(selected)
        if any(row)
    }
    kept = max(min_overlap, math.ceil(ar_overlap * window))
    pace = min(bars_per_step or max(1, window - kept), window)
    steps = [
        step
        for t, chosen in wanted.items()
        if autoregressive[t]
        for run in _runs(chosen)
        for step in _continuation(t, run, bars, window, window - pace, min_overlap)
    ]
    filled = [t for t in wanted if not autoregressive[t]]
    width = tracks_per_step or max(1, len(filled))
    span = min(bars_per_step or window, window)
    for first in range(0, len(filled), width):
        group = {t: wanted[t] for t in filled[first : first + width]}
        steps += _fills(group, bars, window, span)
    return steps


def shuffled(steps: Sequence[Step], seed: int) -> list[Step]:
    """The same steps with the fills in random order; continuations keep theirs and come first."""
    fills = [step for step in steps if not step.autoregressive]
    random.Random(seed).shuffle(fills)  # noqa: S311 - music, not secrets
    return [step for step in steps if step.autoregressive] + fills


def summary(steps: Iterable[Step], ids: Sequence[int]) -> list[dict[str, Any]]:
    """The steps as JSON-ready data, tracks by their ids in the request.

    Args:
        steps: the steps in the order they are taken.
        ids: per track, its id.
    """
    return [
        {
            "window": list(step.window),
            "autoregressive": step.autoregressive,
            "generate": {str(ids[track]): bars for track, bars in step.bars.items()},
        }
        for step in steps
    ]


def _runs(chosen: Sequence[int]) -> Iterator[Range]:
    """Maximal runs of consecutive bars; ``chosen`` ascends."""
    for _, run in groupby(enumerate(chosen), key=lambda place: place[1] - place[0]):
        found = [bar for _, bar in run]
        yield found[0], found[-1] + 1


def _continuation(
    track: int, run: Range, bars: int, window: int, history: int, min_overlap: int
) -> Iterator[Step]:
    """Write a run from left to right, each step after as much history as there can be.

    What is left of the run is written in one go as soon as it fits a window that ends on it and
    still shows enough of what comes before.
    """
    here, end = run
    tail = max(0, end - window)
    enough = min(history, min_overlap)
    while here < end:
        closing = tail == 0 or here - tail >= enough
        start = tail if closing else min(max(0, here - history), tail)
        stop = min(start + window, bars)
        written = range(here, min(stop, end))
        targets = frozenset((track, bar) for bar in written)
        yield Step((start, stop), autoregressive=True, targets=targets)
        here = written.stop


def _fills(group: dict[int, list[int]], bars: int, window: int, span: int) -> Iterator[Step]:
    """Fill in the bars of a group of tracks, those close together in one step."""
    cells = sorted((b, t) for t, chosen in group.items() for b in chosen)
    done = 0
    while done < len(cells):
        first = cells[done][0]
        chunk = cells[done : bisect_left(cells, (first + span, 0), done)]
        centred = (first + chunk[-1][0] + 1 - window) // 2
        start = min(max(0, centred), max(0, bars - window))
        targets = frozenset((t, b) for b, t in chunk)
        yield Step((start, min(start + window, bars)), autoregressive=False, targets=targets)
        done += len(chunk)
