"""Meters, counted in ticks of a twelfth of a quarter note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dice import weighted

if TYPE_CHECKING:
    from random import Random

QUARTER = 12
EIGHTH = QUARTER // 2
SIXTEENTH = QUARTER // 4


@dataclass(frozen=True)
class Meter:
    """A time signature.

    Attributes:
        numerator: its upper number.
        denominator: its lower number.
    """

    numerator: int
    denominator: int

    @classmethod
    def draw(cls, rng: Random) -> Meter:
        """4/4 mostly."""
        return weighted(rng, ODDS)

    @property
    def bar(self) -> int:
        """Length of a bar in ticks."""
        return 4 * QUARTER * self.numerator // self.denominator

    @property
    def beat(self) -> int:
        """Length of a beat in ticks: a dotted quarter in compound meters, else a quarter."""
        return 3 * EIGHTH if self.denominator == 8 else QUARTER

    @property
    def beats(self) -> int:
        """Beats in a bar."""
        return self.bar // self.beat

    def weight(self, tick: int) -> int:
        """How heavy a place is: 4 opens a bar, 3 halves it, 2 is a beat, 1 an eighth, 0 less."""
        place = tick % self.bar
        if place == 0:
            return 4
        if self.beats == 4 and place == 2 * self.beat:
            return 3
        if place % self.beat == 0:
            return 2
        return int(place % EIGHTH == 0)


ODDS = {Meter(4, 4): 7.0, Meter(3, 4): 1.4, Meter(6, 8): 1.0, Meter(2, 4): 0.8}
