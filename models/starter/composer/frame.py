"""The frame of a piece: what all its parts agree on."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from .dice import dice, weighted
from .harmony import Span, progression
from .keys import Key
from .meter import Meter

if TYPE_CHECKING:
    from random import Random

FORMS: dict[int, dict[str, float]] = {
    2: {"AA": 2.0, "AB": 2.0},
    3: {"AAB": 1.0, "ABA": 2.0, "ABB": 1.0},
    4: {"AABA": 3.0, "ABAB": 2.0, "ABAC": 2.0, "AABB": 1.0},
}
"""Orders of the sections by their number, with their odds."""


class Sound(NamedTuple):
    """A note: ticks from the start of its section, MIDI pitch, and how far it is stressed.

    ``stress`` is added to the velocity its part has at that place.
    """

    start: int
    length: int
    pitch: int
    stress: int = 0


@dataclass(frozen=True)
class Section:
    """A part of a piece; those with the same letter share their material.

    Attributes:
        letter: its name.
        first: its first bar.
        bars: number of its bars.
        phrase: bars of its phrases.
        spans: its chords.
    """

    letter: str
    first: int
    bars: int
    phrase: int
    spans: tuple[Span, ...]

    @cached_property
    def _starts(self) -> list[int]:
        return [span.start for span in self.spans]

    def span(self, tick: int) -> Span:
        """The chord at a tick, counted from the section's start."""
        return self.spans[max(0, bisect_right(self._starts, tick) - 1)]

    @property
    def end(self) -> int:
        """Its length in ticks."""
        return self.spans[-1].end


@dataclass(frozen=True)
class Frame:
    """What the parts of a piece agree on.

    Attributes:
        key: its key.
        meter: its meter.
        sections: its sections, in order.
    """

    key: Key
    meter: Meter
    sections: tuple[Section, ...]

    @property
    def bars(self) -> int:
        """Bars of the piece."""
        return sum(section.bars for section in self.sections)

    @classmethod
    def draw(cls, rng: Random, name: object) -> Frame:
        """A frame of 8 to 32 bars.

        Args:
            rng: chance.
            name: of the piece; the sections' material depends on it and their letters.
        """
        key, meter = Key.draw(rng), Meter.draw(rng)
        count = weighted(rng, {2: 4.0, 3: 1.5, 4: 2.5})
        bars = weighted(rng, {4: 4.0, 8: 2.0}) if count < 4 else weighted(rng, {4: 3.0, 8: 1.0})
        phrase = 4 if bars == 4 else weighted(rng, {4: 3.0, 8: 1.0})
        sections = []
        form = weighted(rng, FORMS[count])
        for index, letter in enumerate(form):
            chords = progression(
                dice(name, "harmony", letter), key, bars // phrase, phrase, meter.bar
            )
            sections.append(Section(letter, index * bars, bars, phrase, tuple(chords)))
        return cls(key, meter, tuple(sections))
