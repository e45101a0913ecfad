"""Chords and the way they follow each other: functions, loops and cadences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dice import weighted

if TYPE_CHECKING:
    from random import Random

    from .keys import Key

TONIC, SUBDOMINANT, DOMINANT = "tonic", "subdominant", "dominant"
FUNCTIONS = {
    TONIC: {0: 6.0, 5: 2.0, 2: 1.0},
    SUBDOMINANT: {3: 4.0, 1: 3.0, 5: 1.0},
    DOMINANT: {4: 6.0, 6: 1.0},
}
"""Degrees of the scale, counted from 0, that can play each function, with their odds."""

NEXT = {
    TONIC: {TONIC: 2.0, SUBDOMINANT: 4.0, DOMINANT: 2.0},
    SUBDOMINANT: {SUBDOMINANT: 1.0, DOMINANT: 5.0, TONIC: 1.5},
    DOMINANT: {DOMINANT: 1.0, TONIC: 6.0, SUBDOMINANT: 0.5},
}

LOOPS = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 0, 4), (1, 4, 0, 5), (0, 2, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 4), (0, 5, 3, 4), (0, 3, 6, 2), (0, 6, 0, 4)),
    "harmonic minor": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4), (0, 5, 1, 4)),
    "dorian": ((0, 3, 0, 3), (0, 6, 3, 0), (0, 2, 3, 3), (0, 3, 6, 4)),
    "mixolydian": ((0, 6, 3, 0), (0, 3, 6, 3), (0, 4, 3, 6), (0, 6, 0, 3)),
    "lydian": ((0, 1, 0, 1), (0, 1, 4, 0), (0, 4, 1, 0)),
    "phrygian": ((0, 1, 0, 1), (0, 1, 2, 1), (0, 6, 1, 0)),
}
"""Four chords that can go round and round."""

CADENCES = {
    "half": (3, 4),
    "authentic": (4, 0),
    "plagal": (3, 0),
    "deceptive": (4, 5),
}


@dataclass(frozen=True)
class Chord:
    """A pile of thirds.

    Attributes:
        root: degree of its root, 0 to 6.
        size: number of its notes: 3 a triad, 4 a seventh chord, 5 a ninth chord.
    """

    root: int
    size: int = 3

    def steps(self) -> tuple[int, ...]:
        """Its notes as steps of the scale, from the root in the lowest octave upwards."""
        return tuple(self.root + 2 * third for third in range(self.size))

    def ladder(self, key: Key, low: int, high: int) -> list[int]:
        """All pitches of the chord from ``low`` to ``high``, ascending."""
        classes = {key.pitch(step) % 12 for step in self.steps()}
        return [pitch for pitch in range(low, high + 1) if pitch % 12 in classes]


@dataclass(frozen=True)
class Span:
    """A chord and its place, in ticks from the start of its section."""

    start: int
    end: int
    chord: Chord


def progression(rng: Random, key: Key, phrases: int, bars: int, bar: int) -> list[Span]:
    """The chords of a section.

    Args:
        rng: chance.
        key: the key.
        phrases: number of phrases; all but the last end openly.
        bars: bars of a phrase.
        bar: ticks of a bar.
    """
    per_bar = weighted(rng, {1: 6.0, 2: 2.0, 0.5: 1.5})
    size = weighted(rng, {3: 6.0, 4: 3.0, 5: 0.7})
    if per_bar == 2 and bar % 24:
        per_bar = 1
    slots = max(2, round(bars * per_bar))
    looped = rng.random() < 0.5
    loop = rng.choice(LOOPS[key.mode])
    spans: list[Span] = []
    for phrase in range(phrases):
        last = phrase == phrases - 1
        roots = [loop[i % 4] for i in range(slots)] if looped else _walk(rng, slots)
        if not looped or last:
            roots[-2:] = CADENCES[_cadence(rng, last=last)]
        length = bars * bar // slots
        begin = phrase * bars * bar
        spans += [
            Span(begin + i * length, begin + (i + 1) * length, Chord(root, size))
            for i, root in enumerate(roots)
        ]
    return spans


def _walk(rng: Random, count: int) -> list[int]:
    """Chords that follow their functions, from the tonic on."""
    function, roots = TONIC, [0]
    while len(roots) < count:
        function = weighted(rng, NEXT[function])
        roots.append(weighted(rng, FUNCTIONS[function]))
    return roots


def _cadence(rng: Random, *, last: bool) -> str:
    if last:
        return weighted(rng, {"authentic": 5.0, "plagal": 1.5})
    return weighted(rng, {"half": 4.0, "authentic": 1.5, "deceptive": 1.0, "plagal": 1.0})
