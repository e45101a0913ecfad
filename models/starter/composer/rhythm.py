"""Rhythms: places and lengths of notes, made of cells that fill whole beats."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .meter import QUARTER

if TYPE_CHECKING:
    from random import Random

    from .meter import Meter

Cell = tuple[int, ...]

SIMPLE: dict[int, tuple[Cell, ...]] = {
    0: ((2,) * 6, (1, 2) * 4, (1, 2, 1, 2, 6), (2, 2, 2, 6), (6, 2, 2, 2)),
    1: ((3, 3, 3, 3), (4, 4, 4), (6, 3, 3), (3, 3, 6), (3, 6, 3), (9, 3)),
    2: ((6, 6), (6, 6, 6, 6), (9, 9, 6), (8, 8, 8), (6, 3, 3)),
    3: ((12,), (12, 12), (18, 6), (6, 12, 6), (18, 18, 12)),
    4: ((24,), (36, 12), (24, 24), (30, 6, 12)),
    5: ((48,), (96,), (72, 24)),
}
"""Cells by the note value that counts in them, from thirty-seconds to wholes, in ticks."""

COMPOUND: dict[int, tuple[Cell, ...]] = {
    0: ((2,) * 9, (1, 2) * 6, (2, 2, 2, 6, 6)),
    1: ((3,) * 6, (3, 3, 6, 6), (6, 3, 3, 6), (6, 6, 3, 3)),
    2: ((6, 6, 6), (9, 3, 6), (9, 9)),
    3: ((12, 6), (18,), (6, 12)),
    4: ((36,), (36,), (24, 12)),
    5: ((72,), (72, 36), (54, 18)),
}


class Beat(NamedTuple):
    """A place in a rhythm and how long the note there lasts, in ticks."""

    start: int
    length: int


def fill(rng: Random, meter: Meter, length: int, short: int, long: int) -> list[Beat]:
    """A rhythm of note values from ``short`` to ``long``, both of them heard about as often.

    Args:
        rng: chance.
        meter: the meter.
        length: ticks to fill.
        short: the shorter note value: 0 thirty-seconds, 1 sixteenths, ... 5 wholes.
        long: the longer one.
    """
    cells = SIMPLE if meter.beat == QUARTER else COMPOUND
    values = [short, long, *range(short + 2, long)]
    rhythm: list[Beat] = []
    start = 0
    heard = dict.fromkeys(values, 0)
    while start < length:
        value = min(values[:2], key=lambda v: (heard[v], rng.random()))
        if rng.random() < 0.2:
            value = rng.choice(values)
        room = length - start
        fitting = [cell for cell in cells[value] if sum(cell) <= room]
        cell = rng.choice(fitting) if fitting else (room,)
        heard[value] += len(cell)
        for ticks in cell:
            rhythm.append(Beat(start, ticks))
            start += ticks
    return rhythm


def thinned(rng: Random, rhythm: list[Beat], meter: Meter, most: int) -> list[Beat]:
    """At most so many notes a bar, the heavy places first; never none at all."""
    kept = []
    for bar in range(1 + rhythm[-1].start // meter.bar):
        here = [beat for beat in rhythm if beat.start // meter.bar == bar]
        here.sort(key=lambda beat: meter.weight(beat.start) + rng.random() * 2, reverse=True)
        kept += here[:most]
    return sorted(kept)
