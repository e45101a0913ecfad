"""Drum grooves: the strokes of a bar in the order of their importance, as many as are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .dice import dice, weighted
from .frame import Sound
from .meter import EIGHTH, QUARTER, SIXTEENTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from .frame import Frame, Section
    from .meter import Meter

KICK, SIDE_STICK, SNARE, CLAP, CLOSED_HAT, PEDAL_HAT, OPEN_HAT = 36, 37, 38, 39, 42, 44, 46
CRASH, RIDE, BELL, TAMBOURINE, COWBELL, SHAKER, CLAVES = 49, 51, 53, 54, 56, 70, 75
TOMS = (50, 48, 47, 45, 43, 41)
HAND_DRUMS = (62, 63, 64, 60, 61)

SIZES = {
    (1, 2): 1.0,
    (3, 3): 1.0,
    (4, 5): 1.0,
    (6, 8): 1.2,
    (9, 10): 1.6,
    (11, 12): 1.1,
    (13, 15): 1.1,
    (16, 18): 1.1,
    (19, 26): 1.2,
    (28, 40): 1.3,
}
"""Fewest and most strokes of a bar, one pair for each density level, with their odds."""


class Stroke(NamedTuple):
    """A stroke of a groove; the most important come first."""

    rank: float
    start: int
    pitch: int
    stress: int


@dataclass(frozen=True)
class Drums:
    """A drummer.

    Attributes:
        size: strokes of a bar.
        timekeeper: the cymbal or shaker that keeps time.
        pulse: ticks between its strokes.
        backbeat: the drum on the back beats.
        colour: a further instrument of busy grooves.
        kicks: places of the bass drum in a bar, the first beat left out.
        latin: whether hand drums lead.
        fills: whether phrases end with a fill.
    """

    size: int
    timekeeper: int
    pulse: int
    backbeat: int
    colour: int
    kicks: tuple[int, ...]
    latin: bool
    fills: bool

    @classmethod
    def draw(cls, rng: Random, meter: Meter) -> Drums:
        """Any groove, all densities about as often."""
        places = range(EIGHTH, meter.bar, rng.choice((SIXTEENTH, EIGHTH)))
        kicks = rng.sample(places, min(len(places), rng.randint(0, 4)))
        return cls(
            size=rng.randint(*weighted(rng, SIZES)),
            timekeeper=weighted(rng, {CLOSED_HAT: 6, RIDE: 2, PEDAL_HAT: 1, SHAKER: 1, BELL: 0.5}),
            pulse=weighted(rng, {EIGHTH: 5, QUARTER: 1.5, SIXTEENTH: 2.5, 4: 0.8}),
            backbeat=weighted(rng, {SNARE: 6, SIDE_STICK: 1.5, CLAP: 1.5}),
            colour=rng.choice((TAMBOURINE, COWBELL, SHAKER, CLAVES, PEDAL_HAT)),
            kicks=tuple(sorted(kicks)),
            latin=rng.random() < 0.15,
            fills=rng.random() < 0.75,
        )

    def play(self, rng: Random, frame: Frame, section: Section) -> list[Sound]:
        """The groove of a section, a crash where it begins and fills where phrases end."""
        strokes = sorted(self._strokes(dice(rng.random()), frame.meter))
        groove = strokes[: self.size]
        spare = strokes[self.size : self.size + 3]
        sounds = []
        for bar in range(section.bars):
            start = bar * frame.meter.bar
            played = list(groove)
            if spare and len(groove) > 3 and rng.random() < 0.3:
                played[-1] = rng.choice(spare)
            if self.fills and (bar + 1) % section.phrase == 0 and self.size >= 4:
                played = self._with_fill(rng, frame.meter, played)
            elif bar == 0 and self.size >= 6:
                played = [s for s in played if s.start or s.pitch != self.timekeeper]
                played.append(Stroke(0, 0, CRASH, 12))
            sounds += [Sound(start + s.start, 1, s.pitch, s.stress) for s in played]
        return sounds

    def _strokes(self, rng: Random, meter: Meter) -> Iterator[Stroke]:
        """All strokes that the groove could have; no instrument plays twice at a place."""
        taken = set()
        for stroke in self._candidates(rng, meter):
            place = (stroke.start, stroke.pitch)
            if place not in taken and stroke.start < meter.bar:
                taken.add(place)
                yield stroke

    def _candidates(self, rng: Random, meter: Meter) -> Iterator[Stroke]:
        beat, bar = meter.beat, meter.bar
        lead = rng.choice(HAND_DRUMS) if self.latin else KICK
        yield Stroke(0, 0, lead, 10)
        back = range(beat, bar, 2 * beat) if meter.beats % 2 == 0 else range(beat, bar, beat)
        yield from (Stroke(1 + i, tick, self.backbeat, 10) for i, tick in enumerate(back))
        yield from (Stroke(2.5 + i, tick, KICK, 4) for i, tick in enumerate(self.kicks))
        if bar == 4 * QUARTER:
            yield Stroke(2.2, 2 * QUARTER, lead, 6)
        for index, tick in enumerate(range(0, bar, self.pulse)):
            heavy = meter.weight(tick)
            yield Stroke(4.5 - heavy + index * 0.1, tick, self.timekeeper, 3 * heavy - 8)
        yield Stroke(7 + rng.random(), bar - EIGHTH, OPEN_HAT, 0)
        for tick in range(SIXTEENTH, bar, SIXTEENTH):
            yield Stroke(8 + 4 * rng.random(), tick, SNARE, -28)
            yield Stroke(9 + 3 * rng.random(), tick, KICK, -6)
            hand = rng.choice(HAND_DRUMS)
            yield Stroke((3 if self.latin else 11) + 5 * rng.random(), tick, hand, -8)
        for tick in range(0, bar, SIXTEENTH):
            yield Stroke(9 + 6 * rng.random(), tick, self.colour, -10)
            yield Stroke(12 + 4 * rng.random(), tick, self.timekeeper, -12)
            yield Stroke(16 + rng.random(), tick, SHAKER, -16)

    def _with_fill(self, rng: Random, meter: Meter, groove: list[Stroke]) -> list[Stroke]:
        """The groove with its last beat or two given to the toms, about as dense as before."""
        begin = meter.bar - rng.choice((1, 1, 2)) * meter.beat
        kept = [stroke for stroke in groove if stroke.start < begin]
        step = SIXTEENTH if self.size >= 10 else EIGHTH
        places = list(range(begin, meter.bar, step))
        room = max(1, min(len(places), self.size - len(kept) + 1))
        drums = (SNARE, *TOMS)
        for index, tick in enumerate(sorted(rng.sample(places, room))):
            kept.append(Stroke(0, tick, drums[index * len(drums) // len(places)], 4 + index))
        return kept
